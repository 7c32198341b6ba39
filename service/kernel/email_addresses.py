"""One check of e-mail addresses, for bodies, forms, files, commands and settings, and for the mail that leaves us.

What is accepted here, mail can carry; email-validator knows the grammar and IDNA, and has the last word. What stands
before it here finds the letter at fault and its place, so that whoever typed the address can be told in their language
(`integrations/address_words.py`). No name server is asked: most addresses of a hospital are typed while it is cut off.
"""

import ipaddress
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import Literal
from urllib import parse

import email_validator
import idna

from service.kernel import errors
from service.rules import suspicious_text

# Domains that no public mail reaches are accepted: `.local` is many a hospital's own network, and exported files hold
# the addresses under `.invalid` that erased people and systems have. The library has no parameter for it but this list.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()

LONGEST = 254
"""Octets of an address (RFC 5321 4.5.3.1.3, without the angle brackets)."""
LONGEST_TYPED = 1_000
"""Characters that are looked at, blanks around the address included: nothing of a longer text is read."""
_LONGEST_LOCAL, _LONGEST_LABEL = 64, 63
_ENCODED = "xn--"
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]")
_DOMAIN = re.compile(r"[A-Za-z0-9.-]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_PLAIN_IN_URI = "!$'*+-._~"
_TOGETHER = {"HIRAGANA": "CJK", "KATAKANA": "CJK", "MODIFIER": "CYRILLIC"}
"""Scripts that one word is written in together; the apostrophe of Ukrainian domains is a modifier letter."""
# Cyrillic and Greek letters that look like Latin ones: of these alone, a label can be taken for another.
_LOOK_LATIN = frozenset("асԁеһіјӏорԛѕԝхуъьҽпгѵѡαικνρυωηοτ")

Code = Literal[
    "no_at", "two_at", "name", "mark", "separator", "blank", "unseen", "wide", "letter", "mixed", "not_latin",
    "no_local", "edge_dot", "two_dots", "edge_hyphen", "no_ending", "number", "encoded", "long_local", "long_label",
    "long", "other",
]  # fmt: skip
"""What can be wrong with an address; the catalogues word each (context `addresses`)."""


class Refused(ValueError):
    """This is no address that mail can carry: what is wrong, at which character (1 is the first), and which it is."""

    def __init__(self, code: Code, place: int = 0, letter: str = "", script: str = "") -> None:
        """Keep what is said about it; `script` is that of the other letters."""
        super().__init__(f"is no address that mail can carry: {code}" + (f" at character {place}" if place else ""))
        self.code: Code = code
        self.place = place
        self.letter = letter
        self.script = script

    def facts(self) -> tuple[tuple[str, str | int], ...]:
        """Give what it was made of: the same again says the same."""
        return tuple({"code": self.code, "place": self.place, "letter": self.letter, "script": self.script}.items())


class Unmailable(errors.Invalid):
    """The request is understood but breaks a rule"""

    def __init__(self, pointer: str, refused: Refused) -> None:
        """Name the field at fault by its JSON pointer; whoever answers says in words what `refused` means."""
        super().__init__(pointer, str(refused))
        self.pointer = pointer
        self.refused = refused


def normal_form(text: str) -> str:
    """Give the address as it is stored and mailed: NFC, the domain in small letters and as A-labels.

    What stands before the @ keeps its case; it may be in letters other than Latin, of one script (`needs_utf8`).
    Raises Refused.
    """
    if len(text) > LONGEST_TYPED:
        raise Refused("long")
    typed = unicodedata.normalize("NFC", text.strip())
    _refuse_marks(typed)
    local, at, domain = typed.partition("@")
    if not at:
        raise Refused("no_at")
    _check_local(local)
    _check_domain(domain, len(local) + 2)
    in_ascii = ".".join(_encoded(label) for label in domain.split("."))
    if len(f"{local}@{in_ascii}".encode()) > LONGEST:
        raise Refused("long")
    try:
        checked = email_validator.validate_email(typed, check_deliverability=False, allow_smtputf8=True, strict=True)
    except email_validator.EmailNotValidError:
        raise Refused("other") from None
    return f"{local}@{checked.ascii_domain}"


def carried(text: str, *, utf8: bool) -> str:
    """Give the normal form if mail can carry it; `utf8` says whether the mail server takes SMTPUTF8. Raises Refused."""
    address = normal_form(text)
    if not utf8:
        for place, letter in enumerate(address.partition("@")[0], start=1):
            if not letter.isascii():
                raise Refused("not_latin", place, letter)
    return address


def is_carried(address: str, *, utf8: bool) -> bool:
    """Tell whether mail can carry a stored address, which an older release may have taken."""
    try:
        carried(address, utf8=utf8)
    except Refused:
        return False
    return True


def requires_carried(pointer: str, text: str, *, utf8: bool) -> str:
    """Give the normal form of an address that mail can carry, as `carried`; raises Unmailable."""
    try:
        return carried(text, utf8=utf8)
    except Refused as refused:
        raise Unmailable(pointer, refused) from None


def as_stored(text: str) -> str:
    """Give the form to look a person up by; an invalid address stays as it is: an older release may have stored it."""
    try:
        return normal_form(text)
    except Refused:
        return text


def needs_utf8(address: str) -> bool:
    """Tell whether only a server with SMTPUTF8 (RFC 6531) can carry an address in its normal form."""
    return not address.isascii()


def shown(address: str) -> str:
    """Give the address as people read it: its domain in letters, unless those could be taken for other ones.

    For a stored address of any age: what cannot be read so stays as it is.
    """
    local, at, domain = address.rpartition("@")
    labels = [_in_letters(label) for label in domain.split(".")]
    is_latin = (labels[-1] or "").isascii()
    return (
        local
        + at
        + ".".join(
            encoded if label is None or _is_mixed(label) or (is_latin and _looks_latin(label)) else label
            for encoded, label in zip(domain.split("."), labels, strict=True)
        )
    )


def uri(address: str) -> str:
    """Give the `mailto:` of an address (RFC 6068): what is no letter of a URI is percent-encoded UTF-8.

    For a stored address of any age; raises ValueError for one with a line break or another control character in it.
    """
    if _CONTROL.search(address):
        msg = "an address has a line break or another control character in it"
        raise ValueError(msg)
    local, _, domain = address.rpartition("@")
    return f"mailto:{parse.quote(local, safe=_PLAIN_IN_URI)}@{domain}"


def _refuse_marks(typed: str) -> None:
    """Refuse what stands in no address, wherever it is; raises Refused."""
    for place, letter in enumerate(typed, start=1):
        if letter in '<>"()':
            raise Refused("name" if letter in "<>" else "mark", place, letter)
    if typed.count("@") > 1:
        raise Refused("two_at", typed.index("@", typed.index("@") + 1) + 1, "@")
    for place, letter in enumerate(typed, start=1):
        category = unicodedata.category(letter)
        if letter.isspace() or category[0] == "Z":
            raise Refused("blank", place, letter)
        if category[0] == "C" or suspicious_text.UNSEEN.match(letter):
            raise Refused("unseen", place, letter)
        if letter in ",;":
            raise Refused("separator", place, letter)
        if unicodedata.normalize("NFKC", letter) != letter:
            raise Refused("wide", place, letter)


def _check_local(local: str) -> None:
    if not local:
        raise Refused("no_local")
    for place, letter in enumerate(local, start=1):
        if not (_LOCAL.match(letter) if letter.isascii() else _is_letter(letter)):
            raise Refused("letter", place, letter)
    _check_dots(local, 1)
    _check_script(local, 1)
    if len(local.encode()) > _LONGEST_LOCAL:
        raise Refused("long_local")


def _check_domain(domain: str, first_place: int) -> None:
    """Check what stands after the @, whose first character is at `first_place`; raises Refused."""
    if not domain:
        raise Refused("no_ending")
    if domain.startswith("[") or _is_number(domain):
        raise Refused("number", first_place, domain[0])
    for place, letter in enumerate(domain, start=first_place):
        if not (_DOMAIN.match(letter) if letter.isascii() else _is_letter(letter)):
            raise Refused("letter", place, letter)
    _check_dots(domain, first_place)
    place = first_place
    labels = domain.split(".")
    for label in labels:
        if label.startswith("-") or label.endswith("-"):
            raise Refused("edge_hyphen", place + (0 if label.startswith("-") else len(label) - 1), "-")
        _check_label(label, place)
        place += len(label) + 1
    if len(labels) == 1 or labels[-1].isdigit():
        raise Refused("no_ending")


def _check_label(label: str, place: int) -> None:
    if len(label) > _LONGEST_LABEL or len(_encoded(label)) > _LONGEST_LABEL:
        raise Refused("long_label", place)
    if not label.lower().startswith(_ENCODED):
        _check_script(label, place)
        return
    letters = _in_letters(label)
    if letters is None:
        raise Refused("encoded", place)
    if _is_mixed(letters):
        raise Refused("mixed", place, *_odd(letters)[1:])


def _encoded(label: str) -> str:
    lowered = unicodedata.normalize("NFC", label.lower())
    return lowered if lowered.isascii() else _ENCODED + lowered.encode("punycode").decode("ascii")


def _in_letters(label: str) -> str | None:
    """Give the label in letters; None for an A-label that stands for nothing, or for what IDNA 2008 does not allow."""
    if not label.lower().startswith(_ENCODED):
        return label
    try:
        letters = idna.ulabel(label.lower())
        return letters if idna.alabel(letters).decode("ascii") == label.lower() else None
    except (idna.IDNAError, UnicodeError):
        return None


def _check_dots(text: str, first_place: int) -> None:
    if text.startswith("."):
        raise Refused("edge_dot", first_place, ".")
    if ".." in text:
        raise Refused("two_dots", first_place + text.index("..") + 1, ".")
    if text.endswith("."):
        raise Refused("edge_dot", first_place + len(text) - 1, ".")


def _check_script(text: str, first_place: int) -> None:
    if _is_mixed(text):
        place, letter, script = _odd(text)
        raise Refused("mixed", first_place + place, letter, script)


def _is_mixed(text: str) -> bool:
    return len({script for _, _, script in _scripts(text)}) > 1


def _odd(text: str) -> tuple[int, str, str]:
    """Give the first letter of the script that is rarest in the text: its place from 0, and the commonest script."""
    counts = Counter(script for _, _, script in _scripts(text))
    common, rare = counts.most_common()[0][0], counts.most_common()[-1][0]
    place, letter, _ = next(found for found in _scripts(text) if found[2] == rare)
    return place, letter, common


def _scripts(text: str) -> Iterator[tuple[int, str, str]]:
    """Give place, letter and script of every letter and mark, the script by the first word of its Unicode name."""
    for place, letter in enumerate(text):
        if unicodedata.category(letter)[0] in "LM":
            script = unicodedata.name(letter, "UNNAMED").split()[0]
            yield place, letter, _TOGETHER.get(script, script)


def _looks_latin(label: str) -> bool:
    letters = [letter for letter in label if letter.isalpha()]
    return bool(letters) and not label.isascii() and all(letter in _LOOK_LATIN for letter in letters)


def _is_letter(letter: str) -> bool:
    return unicodedata.category(letter)[0] in "LM"


def _is_number(domain: str) -> bool:
    try:
        ipaddress.ip_address(domain)
    except ValueError:
        return domain.replace(".", "").isdigit()
    return True
