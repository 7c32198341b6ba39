"""Every word that people read, in mails, on pages and in documents: one gettext catalogue a language, `<language>.po`.

A word is found by its context (`letter.booked`, `page.home`, `reasons`) and its key there, which is a code of the
vocabulary wherever there is one. What a language lacks is said in English. `docs/languages.md` tells how to add one.
"""

import functools
import gettext
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from service import vocabulary
from service.rules import sentences

FOLDER = Path(__file__).parent
FALLBACK: vocabulary.Locale = "en"


@dataclass(frozen=True, slots=True)
class Plural:
    """A sentence in the forms that a number can ask for, and the language's rule which form it asks for."""

    forms: tuple[str, ...]
    form_of: Callable[[int], int]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The words of one language; `formats` (`uk_UA`) is whose dates and numbers go with them."""

    locale: str
    formats: str
    contexts: Mapping[str, Mapping[str, str]]
    plurals: Mapping[tuple[str, str], Plural]

    def __getitem__(self, context: str) -> Mapping[str, str]:
        """Give the words of a context by their keys; raises KeyError."""
        return self.contexts[context]

    def counted(self, context: str, key: str, number: int) -> str:
        """Give the form of a sentence that goes with the number, which is not filled in yet; raises KeyError."""
        plural = self.plurals[context, key]
        return plural.forms[plural.form_of(number)]

    def said(self, sentence: str) -> str | None:
        """Give a sentence about a fault or a problem in this language, its gaps filled; None if nobody worded it.

        It is found by the English one with its gaps; the rules of the gate that it names have words of their own.
        """
        word = self["faults"].get(sentences.key(sentence))
        facts = dict(sentences.facts(sentence))
        if word is None or not facts:
            return word
        reasons = facts.get("reasons")
        if isinstance(reasons, tuple):
            facts["reasons"] = tuple(self["reasons"].get(code, code) for code in reasons)
        return word.format(**sentences.texts(facts))

    def name(self, names: Mapping[str, str]) -> str:
        """Give the name in this language, else in English, of what is named in some languages only (specialties).

        Names are data. The registry has them in Ukrainian and in English, whatever languages there are catalogues of.
        """
        return names[self.locale if self.locale in names else FALLBACK]


def wanted(accept_language: str) -> str:
    """Give the first language of the header that there are words in; English if there is none."""
    ranges = []
    for place, item in enumerate(accept_language.split(",")[:20]):
        tag, _, weight = item.strip().partition(";q=")
        try:
            ranges.append((-float(weight or 1), place, tag.split("-")[0].lower()))
        except ValueError:
            continue
    return next((tag for _, _, tag in sorted(ranges) if tag in vocabulary.LOCALES), FALLBACK)


@functools.cache
def of(locale: str) -> Catalogue:
    """Give the words of a language, read once; those of English for one that only a newer program has."""
    if locale not in vocabulary.LOCALES:
        return of(FALLBACK)
    from babel.messages import pofile  # noqa: PLC0415 - many commands say nothing to people, and need no parser

    with (FOLDER / f"{locale}.po").open("rb") as file:
        po_catalogue = pofile.read_po(file, abort_invalid=True)
    english = None if locale == FALLBACK else of(FALLBACK)
    contexts = {name: dict(words) for name, words in english.contexts.items()} if english else {}
    plurals = dict(english.plurals) if english else {}
    form_of = gettext.c2py(po_catalogue.plural_expr)
    for message in po_catalogue:
        if message.context is None or message.fuzzy or not message.string or not all(message.string):
            continue  # the head, and what nobody has worded yet
        if isinstance(message.id, str):
            contexts.setdefault(message.context, {})[message.id] = str(message.string)
        else:
            plurals[message.context, message.id[0]] = Plural(tuple(message.string), form_of)
    return Catalogue(locale, str(po_catalogue.locale), contexts, plurals)
