"""Mail addresses and the numbers by which a person is known: tax number, passport, telephone, record, and long ones.

Each search takes a plain text (`folding`) and gives half-open places. The patterns repeat nothing without a bound that
could be read in two ways, so that no text makes them go back and forth.
"""

# ruff: noqa: RUF001 - the patterns are made for Ukrainian text

import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from service import vocabulary
from service.rules.deidentify import accounts, telephones

Places = Iterator[tuple[int, int]]

_LOCAL_PART = re.compile(r"[\w.+%'-]{1,64}$")
_AT_DOMAIN = re.compile(  # from the sign on: what stands before it is read backwards, once
    r"(?:\s?@\s?|\s?[(\[](?:at|собака)[)\]]\s?|\s(?:собака|at)\s(?=[\w-]{1,63}\.(?:ua|com|net|org|fr"
    r"|de|укр)\b))"
    r"[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"
)

_NUMBER_SIGN = r"(?:№|#|[Nn]°|[Nn]º|[Nn](?:[or]|um(?:ber|mer|éro)?)?\b\.?|номер\w{0,2}|nr\b\.?)"

_TAX = re.compile(r"(?<!\d)(?<!\d[.,])\d{10}(?!\d)")
_TAX_NAMED = re.compile(
    r"\b(?i:іпн|інн|инн|рнокпп|ідентифікаційн\w{2,4}|податков\w{2,4}|идентификационн\w{2,4}|tax)\b[^\d\n]{0,30}"
    r"(?P<number>\d(?:[ -]{0,2}\d){9,11})(?!\d)"
)
_TAX_WEIGHTS = (-1, 5, 7, 9, 4, 6, 10, 5, 7)

_PASSPORT = re.compile(
    # The old booklet and the travel passport: two letters and six digits, which may be written small.
    r"(?<![^\W_])(?P<series>[А-ЩЬЮЯЄІЇҐа-щьюяєіїґA-Za-z]{2})(?:[ -]?№|[ -]No?\.?)?[ -]?\d{6}(?!\d)(?!\s?"
    r"(?i:од\b|мо\b|мод\b|ме\b|iu|ui\b|u\b|ie\b|units|клітин|копі|клет|коп|cop|cells|/|×|x10|мл\b|ml\b|тис))"
    # The card: nine digits, or the number in the register.
    r"|(?<!\d)(?:19|20)\d{6}-\d{5}(?!\d)"
)
_DEVICE = re.compile(r"\b(?i:lot|ref|batch|s/?n|serial|парті\w|парти\w)\W{1,3}$")
_PASSPORT_NAMED = re.compile(
    r"\b(?i:паспорт\w{0,4}|passport|passeport|reisepass|personalausweis|ausweis|paszport\w{0,2}|посвідченн\w"
    r"|carte d['’]identité|id[ -]?(?:card|картк\w{1,2}|карт\w{1,2}|karte))\b"
    rf"(?i:[\s:,(]{{0,3}}(?:{_NUMBER_SIGN}|серія|серії|серия|серии|series?|громадян(?:ин|ина|ки)|україни|of|is|на"
    rf"|водія"
    r"|учасника|бойових|дій|закордонний|закордонного)){0,5}[\s:,(№#.-]{0,4}"
    r"(?P<number>[^\W\d_]{0,3}[ -]{0,2}(?:№|N|номер )?[ -]?(?:\d{6,9}|\d{3} \d{3})|[A-Z0-9]{7,10})(?!\w)"
)
# Two letters before six digits that are a unit, a measure or a little word, and no series.
_NO_SERIES_WORDS = """
    до на по за об із зі від та не це як чи бо ст мг мл кг год хв ат чс чд тр ер ле нв нь од мо ме кф лф ск of or
    to in at is by no nr ml mg kg hb tr le er ck nk pl wb bp hr iu ui au du la et de en im um zu от со
"""
_NO_SERIES = frozenset(_NO_SERIES_WORDS.split())

_RECORD_WORDS = (
    r"(?i:(?:історі|истори)\w{1,3} (?:хвороби|болезни|розвитку|родів|пологів|родов)|іст\.? ?хв\b\.?"
    r"|ист\.? ?бол\b\.?|медкарт\w{1,3}|(?:мед|амб|стац)\.? ?карт\w{1,3}|мксх\b|емк\b|эмк\b|akte\b"
    r"|(?:медичн|амбулаторн|стаціонарн|медицинск|стационарн)\w{1,4} карт\w{1,3}|mrn|m\.r\.n\.|nhs|kvnr|nir\b|ipp\b"
    r"|(?:medical|hospital|patient|health)(?:'s)? (?:record|file|id|chart|insurance)|record number|chart number"
    r"|krankenakte|patientenakte|patientennummer|patienten-?id|fallnummer|aktenzeichen|versicher\w{2,5}nummer"
    r"|dossier(?: (?:médical|patient|du patient))?|sécurité sociale|numéro de sécu|ідентифікатор\w{0,2} пацієнта"
    r"|(?:страхов\w{2,4} )?поліс\w{0,2}|(?:страхов\w{2,4} )?полис\w{0,2}|карт[аикоуі]\w{0,2}|картк\w{1,2}|картц\w"
    r"|\bі\.?/?\s?х\b\.?|\b[иі]\.?/?\s?б\b\.?|[еє]соз|e-?health|helsi|снилс|омс|pesel|insurance|декларац\w{1,3}"
    r"|направленн\w|справ\w{1,2}|case|chart|file|record|акт[аиу]?\b|лист\w? непрацездатності)"
)
_RECORD_SIGNED = re.compile(  # with a number sign a short number does, and a few words may stand between
    rf"\b{_RECORD_WORDS}(?:[ :,(]{{1,2}}[^\W\d_]{{2,14}}){{0,4}}[ :,(.]{{0,3}}{_NUMBER_SIGN}[ :.]{{0,3}}"
    r"(?P<number>(?:[^\W\d_]{1,4}[-/ ]?)?\d[\w/-]{1,20}(?: \d{2,6}(?!\d)){0,3})"
)
_RECORD_PLAIN = re.compile(  # without one it must follow the word, which means nothing else, and be no year
    r"\b(?i:(?:історі|истори)\w{1,3} (?:хвороби|болезни)|медкарт\w{1,3}|(?:мед|амб|стац)\.? ?карт\w{1,3}|мксх|[еэ]мк"
    r"|карт\w{1,3} (?:пацієнт\w{1,3}|хворо\w{2,3}|пациент\w{1,2}|больно\w{2})|(?:електронн|электронн)\w{2} карт\w{1,3}"
    r"|dossier (?:médical|patient|du patient)|patienten-?id|mrn|nhs(?: number)?|kvnr|pesel|снилс"
    r"|\bі/х\b|\bиб\b"
    r"|medical record|hospital number|patient id|krankenakte|patientenakte|patientennummer|fallnummer|helsi|[еє]соз"
    r"|e-?health"
    r"|versicher\w{2,5}nummer|sécurité sociale|ipp|nir)[ :#=-]{1,3}(?i:id|є|is|ist|est)?[ :]{0,2}"
    r"(?P<number>(?:[^\W\d_]{1,3}[-/ ]?)?(?!(?:19|20)\d\d\b)\d[\d/-]{3,20}(?: \d{2,6}(?!\d)){0,5})"
)
_RECORD_AFTER_SIGN = re.compile(  # the sign may stand before the word: № історії хвороби 512, Fall-Nr. 512
    r"(?i:(?:№|\bn°(?: d[eu])?|\bномер|\bnumber of|\bnuméro (?:de|du))\s?(?:медичн\w{2,3} |амбулаторн\w{2,3} )?"
    r"(?:історії хвороби|истории болезни|карт[икыу]|картки|медкарт[икыу]|поліса|полісу|полиса|dossier|справи"
    r"|декларації|направлення|рецепта|рецепту)"
    r"|\b(?:akten|fall|patienten|versicherten|kranken|behandlungs)-?nr\b\.?|\bnda\b|\bпол[иі]с\w{0,2})"
    r"[ :№#-]{1,3}(?P<number>(?:[^\W\d_]{1,3}[-/ ]?)?(?!(?:19|20)\d\d\b)\d[\w/-]{2,20})"
)
_RECORD_SHAPED = re.compile(
    r"(?<![\w-])[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}(?![\w-])"  # an id of eHealth
    r"|(?<![\w-])[A-ZА-ЯІЇЄҐ0-9]{4}(?:-[A-ZА-ЯІЇЄҐ0-9]{4}){3}(?![\w-])"  # a referral
    r"|(?<![\d.,-])[12] ?\d\d ?(?:0[1-9]|1[0-2]) ?\d[\dAB] ?\d{3} ?\d{3} ?\d\d(?!\d)"  # French social insurance
    r"|(?<![\d.,-])\d{3}-\d{2}-\d{4}(?![\d-])"  # American social insurance
    r"|(?<![\d.,-])\d{3}-\d{3}-\d{3}[ -]\d{2}(?![\d-])"  # Russian social insurance
)
_LONG = re.compile(
    r"(?<!\d)(?<!\d[.,])\d{9,}(?!\d)|(?<!\d)\d{4}([ -])\d{4}\1\d{4}\1\d{4}(?!\d)"
    r"|(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?(?!\w)"  # an account (IBAN)
)


def has_check_digit(number: str) -> bool:
    """Tell whether ten digits are a РНОКПП: its last one follows from the others."""
    digits = [int(digit) for digit in number]
    return sum(d * w for d, w in zip(digits, _TAX_WEIGHTS, strict=False)) % 11 % 10 == digits[-1]


def _emails(text: str) -> Places:
    for match in _AT_DOMAIN.finditer(text):
        local = _LOCAL_PART.search(text, max(0, match.start() - 64), match.start())
        if local and not match.group().strip(" @").replace(".", "").isdigit():  # noradrenaline @ 0.2
            yield local.start(), match.end()


def _tax_numbers(text: str) -> Places:
    yield from (match.span() for match in _TAX.finditer(text) if has_check_digit(match.group()))
    yield from (match.span("number") for match in _TAX_NAMED.finditer(text))


def _passports(text: str) -> Places:
    for match in _PASSPORT.finditer(text):
        series = match["series"] or ""
        if not series or (
            _may_be_series(series) and not _DEVICE.search(text, max(0, match.start() - 12), match.start())
        ):
            yield match.span()
    for match in _PASSPORT_NAMED.finditer(text):
        if sum(char.isdigit() for char in match["number"]) >= 4:  # noqa: PLR2004 - else it is a word
            yield match.span("number")


def _may_be_series(letters: str) -> bool:
    """Tell the letters of a passport from a unit, a laboratory value (Hb, Tr) and a little word."""
    has_one_case = letters.isupper() or letters.islower() or not letters.isascii()
    return has_one_case and letters.casefold() not in _NO_SERIES


def _records(text: str) -> Places:
    for pattern in (_RECORD_SIGNED, _RECORD_PLAIN, _RECORD_AFTER_SIGN):
        yield from (match.span("number") for match in pattern.finditer(text))
    yield from (match.span() for match in _RECORD_SHAPED.finditer(text) if not _is_word_or_card(match.group()))


def _is_word_or_card(code: str) -> bool:
    """Tell four words, and the digits of a bank's card, which are a long number, from the number of a record."""
    signs = code.replace("-", "")
    return signs.isalpha() or (signs.isdigit() and len(signs) == 16)  # noqa: PLR2004 - a card


def _long_numbers(text: str) -> Places:
    return (match.span() for match in _LONG.finditer(text))


SEARCHES: Mapping[vocabulary.PersonalData, Callable[[str], Places]] = MappingProxyType({
    "email": _emails,
    "tax_number": _tax_numbers,
    "passport": _passports,
    "phone": telephones.find,
    "account": accounts.find,
    "record_number": _records,
    "long_number": _long_numbers,
})  # fmt: skip
"""Each kind that is a number or a name to be reached by, and its search."""
