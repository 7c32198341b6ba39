"""The catalogues: every language words everything, with the same facts, in every form that a number asks for."""

import gettext
import itertools
import re
import string
from io import BytesIO

import babel
import pytest
from babel.messages import pofile
from babel.messages.catalog import Message

from integrations import catalogues
from postoffice import ROOT
from service import vocabulary

TEXTS: dict[str, str] = {
    locale: (catalogues.FOLDER / f"{locale}.po").read_text("utf-8") for locale in vocabulary.LOCALES
}
ENGLISH, UKRAINIAN = TEXTS["en"], TEXTS["uk"]
NUMBERS = range(1, 1000)
Name = tuple[str | None, str]


def messages(text: str) -> dict[Name, Message]:
    found = [message for message in pofile.read_po(BytesIO(text.encode()), abort_invalid=True) if message.id]
    return {(each.context, each.id if isinstance(each.id, str) else each.id[0]): each for each in found}


def forms(message: Message) -> list[str]:
    return [message.string] if isinstance(message.string, str) else list(message.string or ())


def fields(message: Message) -> set[str]:
    return {name for form in forms(message) for _, name, _, _ in string.Formatter().parse(form) if name is not None}


def plural_faults(text: str, locale: str) -> set[str]:
    """Compare the rule in the head with what Unicode knows of the language: the same numbers must share a form."""
    catalog = pofile.read_po(BytesIO(text.encode()))
    form_of, plural_form = gettext.c2py(catalog.plural_expr), babel.Locale.parse(locale).plural_form
    pairs = {(form_of(number), plural_form(number)) for number in NUMBERS}
    asked_for, known = ({pair[side] for pair in pairs} for side in (0, 1))
    is_right = asked_for == set(range(catalog.num_plurals)) and len(pairs) == len(asked_for) == len(known)
    return set() if is_right else {"plural rule"}


def faults(text: str, locale: str) -> set[str]:
    """Compare the catalogue of a language with the English one; a word is named by context and key."""
    words, english = messages(text), messages(ENGLISH)
    found = plural_faults(text, locale)
    found |= set() if re.search(rf'^"Language: {locale}_[A-Z]{{2}}\\n"$', text, re.MULTILINE) else {"language"}
    found |= {f"missing: {context} {key}" for context, key in english.keys() - words.keys()}
    found |= {f"not in English: {context} {key}" for context, key in words.keys() - english.keys()}
    found |= set() if len(re.findall(r"^msgctxt ", text, re.MULTILINE)) == len(words) else {"twice"}
    for (context, key), message in words.items():
        if message.fuzzy or not all(forms(message)):
            found.add(f"not worded: {context} {key}")
        elif (context, key) in english and fields(message) != fields(english[context, key]):
            found.add(f"other fields: {context} {key}")
    return found


def test_the_catalogues_are_those_of_the_listed_languages() -> None:
    assert {path.stem for path in catalogues.FOLDER.glob("*.po")} == set(vocabulary.LOCALES)


def test_the_languages_are_listed_in_the_vocabulary_and_nowhere_else() -> None:
    quoted = [[f"""["']{locale}["']""" for locale in order] for order in itertools.permutations(vocabulary.LOCALES)]
    listed = re.compile("|".join(rf"[\[({{]\s*{', *'.join(order)},?\s*[\])}}]" for order in quoted))
    packages = [ROOT / name for name in ("api", "integrations", "service")]
    files = [path for package in packages for path in package.rglob("*.py")]
    assert [path.name for path in files if listed.search(path.read_text())] == ["vocabulary.py"]


@pytest.mark.parametrize("locale", vocabulary.LOCALES)
def test_every_language_words_everything_with_the_same_facts(locale: str) -> None:
    assert faults(TEXTS[locale], locale) == set()


@pytest.mark.parametrize(
    ("written", "instead", "fault"),
    [
        ('msgid "greeting"', 'msgid "salute"', "missing: mail greeting"),
        ('msgid "greeting"', 'msgid "salute"', "not in English: mail salute"),
        ('msgstr "Вітаємо!"', 'msgstr ""', "not worded: mail greeting_without_name"),
        ('msgctxt "mail"\nmsgid "event"', '#, fuzzy\nmsgctxt "mail"\nmsgid "event"', "not worded: mail event"),
        ('msgstr "Вітаємо, {name}!"', 'msgstr "Вітаємо!"', "other fields: mail greeting"),
        ('msgstr "Вітаємо, {name}!"', 'msgstr "Вітаємо, {ім}!"', "other fields: mail greeting"),
        ('msgstr "Вітаємо!"', 'msgstr "Вітаємо, {name}!"', "other fields: mail greeting_without_name"),
        ("msgstr[2]", "#", "not worded: mail asked"),
        ("nplurals=3", "nplurals=4", "plural rule"),
        ("n%10==1 && n%100!=11", "n==1", "plural rule"),
        ("Language: uk_UA", "Language: pl_PL", "language"),
        ('msgctxt "mail"', 'msgctxt "mail"\nmsgid "event"\nmsgstr "x {specialty}"\n\nmsgctxt "mail"', "twice"),
    ],
)
def test_what_is_wrong_in_a_catalogue_is_found(written: str, instead: str, fault: str) -> None:
    assert written in UKRAINIAN
    assert fault in faults(UKRAINIAN.replace(written, instead, 1), "uk")


def test_a_language_that_only_a_newer_program_has_is_english() -> None:
    assert catalogues.of("pl") is catalogues.of("en")
