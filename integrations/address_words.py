"""What is wrong with an e-mail address, in words that name the letter and its place."""

import unicodedata

from integrations.catalogues import Catalogue
from service.kernel.email_addresses import Refused

_SHOWN = "LNPS"  # categories of what can be seen: the rest is named by its number alone


def worded(refused: Refused, words: Catalogue) -> str:
    """Say what is wrong, in the language of `words`; of the address itself nothing is repeated but that letter."""
    text = words["addresses"][refused.code]
    return text.format(
        place=refused.place,
        letter=_named(refused.letter) if refused.letter else "",
        script=words["scripts"].get(refused.script.lower(), refused.script.capitalize()),
    )


def _named(letter: str) -> str:
    """Name a letter so that it cannot be taken for another one, whatever it looks like."""
    name = ", ".join(part for part in (f"U+{ord(letter):04X}", unicodedata.name(letter, "")) if part)
    is_seen = unicodedata.category(letter)[0] in _SHOWN
    return f"\N{LEFT DOUBLE QUOTATION MARK}{letter}\N{RIGHT DOUBLE QUOTATION MARK} ({name})" if is_seen else name
