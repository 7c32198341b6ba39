"""Words of files in every language: heads, codes, and what is wrong with a cell.

A word of the catalogues may have others beside it (`code / shorthand`): the first is shown, all are read. A fault's
sentence is its key in the context `faults`; what nobody has worded is said in English, as the verbs say it.
"""

from collections.abc import Collection, Mapping, Sequence

import babel

from integrations import address_words, catalogues
from service import vocabulary
from service.exchange.imports import desk
from service.kernel import email_addresses
from service.rules import file_tables
from service.rules.file_tables import CellFault

_OTHERS = " / "


def heads(columns: Sequence[str]) -> Mapping[str, str]:
    """Give the column of each head, in every language, as `file_tables.plain` writes heads."""
    names: dict[str, str] = {}
    for locale in vocabulary.LOCALES:
        words = catalogues.of(locale)["import.columns"]
        for column in columns:
            for word in words.get(column, column).split(_OTHERS):
                names.setdefault(file_tables.plain(word), column)
    return names | {file_tables.plain(column): column for column in columns}


def codes(known: Collection[str]) -> Mapping[str, str]:
    """Give the code of each word for one of these codes."""
    words: dict[str, str] = {}
    for locale in vocabulary.LOCALES:
        of_language = catalogues.of(locale)["import.values"]
        for code in known:
            for word in of_language.get(code, code).split(_OTHERS):
                words.setdefault(file_tables.plain(word), code)
    return words | {file_tables.plain(code): code for code in known}


def codes_of(column: str) -> Mapping[str, str]:
    """Give the code of each word in a column whose codes are no list of ours, or that begin its texts."""
    if column == "country":
        return _names("territories", longest=2)
    if column == "languages":
        return {**_names("languages", longest=3), **codes(vocabulary.LANGUAGE_LEVELS)}
    return codes(_BEGINNING.get(column, ()))


_BEGINNING: Mapping[str, Sequence[str]] = {
    "roles": vocabulary.ROLES,
    "weekly": vocabulary.WEEKDAYS,
    "exceptions": vocabulary.EXCEPTION_KINDS,
    "kind": vocabulary.INSTITUTION_KINDS,
}


def sentence(fault: CellFault, locale: str) -> str:
    """Say what is wrong, in a language."""
    if fault.key == desk.ADDRESS:
        return address_words.worded(email_addresses.Refused(**dict(fault.facts)), catalogues.of(locale))  # type: ignore[arg-type]
    word = catalogues.of(locale)["faults"].get(fault.key)
    if word is None:
        return fault.reason
    return word.format(**{name: _fact(name, value, locale) for name, value in fault.facts}) if fault.facts else word


def address_fault(row: int, column: str, refused: email_addresses.Refused) -> CellFault:
    """Give the fault of an address, which has words of its own."""
    reason = address_words.worded(refused, catalogues.of(catalogues.FALLBACK))
    return CellFault(row, column, reason, desk.ADDRESS, refused.facts())


def place(fault: CellFault, letters: Mapping[str, str], locale: str) -> str:
    """Say where it is: row, letter of the column, and its name."""
    words = catalogues.of(locale)["import"]
    letter = fault.letter or letters.get(fault.column, "")
    if fault.column and letter:
        return words["place"].format(row=fault.row, letter=letter, column=column_name(fault.column, locale))
    if fault.column:
        return words["place_without_letter"].format(row=fault.row, column=column_name(fault.column, locale))
    return words["place_letter" if letter else "place_row"].format(row=fault.row, letter=letter)


def column_name(column: str, locale: str) -> str:
    """Give the name of a column: its word, and the name that every language has where that is another."""
    word = catalogues.of(locale)["import.columns"].get(column, column).split(_OTHERS)[0]
    return column if file_tables.plain(word) == file_tables.plain(column) else f"{word} ({column})"


def _fact(name: str, value: object, locale: str) -> str:
    if name == "columns" and isinstance(value, tuple):
        return ", ".join(column_name(column, locale) for column in value)
    if name == "column":
        return column_name(str(value), locale)
    if isinstance(value, tuple):
        return ", ".join(_code(code, locale) for code in value)
    return _code(str(value), locale) if name in ("kind", "status") else str(value)


def _code(code: str, locale: str) -> str:
    word = catalogues.of(locale)["import.values"].get(code, code).split(_OTHERS)[0]
    return code if word == code or locale == catalogues.FALLBACK else f"{word} ({code})"


def _names(of: str, *, longest: int) -> Mapping[str, str]:
    """Give the code of each country or language, by its name in every language that we have."""
    names: dict[str, str] = {}
    for locale in vocabulary.LOCALES:
        for code, name in getattr(babel.Locale.parse(locale), of).items():
            if code.isalpha() and len(code) <= longest:
                names.setdefault(file_tables.plain(name), code)
    return names
