"""Addresses: a street with its house, in the languages that requests are written in.

A town alone is none: it is in every other request. Neither is a village alone, though few may live in it.
"""

# ruff: noqa: RUF001 - the patterns are made for Ukrainian text

import re
from collections.abc import Iterator

_LARGE = r"[^\W\d_a-zа-яіїєґё]"
_NAME = rf"{_LARGE}[\w'\u2019-]{{1,30}}"
_NUMBERED = rf"(?:{_NAME}|\d{{1,3}}(?:-[а-яіїєґ]{{1,4}})?\s{_LARGE}?[\w'\u2019-]{{2,30}})"  # 8 Березня
_HOUSE = r"(?:,?\s{0,2}(?:буд(?:инок)?|дом|д|б|№)?\.?\s{0,2}\d{1,4}(?:[-/]?\d{1,4})?\s?(?:[а-гa-dА-ГA-D]\b)?)"
_FLAT = r"(?i:,?\s{0,2}(?:кв(?:артира)?|корп(?:ус)?|оф(?:іс)?|під'їзд|подъезд|apt|flat)\.?\s{0,2}№?\s?\d{1,4})"
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        # вул. Шевченка 5, кв. 12; ул. Ленина, д. 5; пров. Тихий
        (
            rf"\b(?i:вул(?:иц(?:я|і|ю|ею))?|ул(?:иц(?:а|е|у|ы))?|просп(?:ект\w{{0,2}})?|пр-т|пр-кт"
            rf"|бульв(?:ар\w{{0,2}})?|б-р"
            rf"|пров(?:ул(?:ок|ку|ка))?|переул(?:ок|ке|ка)|набережн(?:а|ій|ая|ой)|узв(?:із|озі)|мкр-н|майдан\w?|шосе"
            rf"|тупик)\b\.?"
            rf"\s{{0,2}}(?:ім\.\s?|им\.\s?)?{_NUMBERED}(?:\s{_NAME}){{0,2}}{_HOUSE}?{_FLAT}?"
        ),
        # пер. Тихий, 4: the abbreviation is that of a fracture too, so the house must follow
        (
            rf"\b(?i:пер|пр|пл(?:оща|ощі|ощадь)?|наб|м-н|мкр|мікрорайон|микрорайон|ж/м"
            rf"|ш)\b\.?\s{{0,2}}{_NAME}(?:\s{_NAME})?"
            rf"(?:,\s{{0,2}}(?:буд\.?|д\.?)?\s{{0,2}}\d{{1,4}}\b|\s{{1,2}}(?:буд|д)\.\s{{0,2}}\d{{1,4}}\b){_FLAT}?"
        ),
        # Хрещатик, буд. 22, кв. 5
        (
            r"\b(?i:буд(?:инок)?|дом"
            r"|д)\.?\s{0,2}\d{1,4}\s?[а-гА-Г]?,?\s{1,2}(?:кв(?:артира)?)\.?\s{0,2}\d{1,4}\b"
        ),
        rf"{_LARGE}[\w'-]{{2,30}}\s(?i:вул(?:иця|иці)|улиц[аеы]|площа|площадь|проспект|бульвар),?\s{{1,2}}\d{{1,4}}",
        # 5 Baker Street, Flat 2
        (
            rf"(?<![\d.,])\d{{1,5}}[A-Za-z]?,?\s(?:[A-Z][a-z'\u2019-]{{1,30}}\s){{1,3}}(?:Street|Road|Rd|Avenue|Ave"
            rf"|Lane|Drive|Boulevard|Blvd"
            rf"|Court|Square|Terrace|Crescent|Close|Way|Gardens|Grove|St(?!\.?\s[A-Z]))\b\.?{_FLAT}?"
        ),
        # 12 rue Victor Hugo, 3 bis avenue de la République
        (
            r"(?<![\d.,])\d{1,4}(?:\s?(?:bis|ter))?,?\s(?i:rue|avenue|av\.|boulevard|bd|place|allée|chemin|impasse"
            r"|quai"
            r"|route|cours|square)"
            r"\s(?:de\sla\s|de\sl['\u2019]|des\s|du\s|de\s"
            r"|d['\u2019])?[A-ZÀ-Ý][\w'\u2019-]{1,30}(?:\s[A-ZÀ-Ý][\w'\u2019-]{1,30}){0,2}"
        ),
        (
            r"\b(?:[Rr]ue|[Bb]oulevard)\s(?:de\sla\s|de\sl['\u2019]|des\s|du\s|de\s"
            r"|d['\u2019])?[A-ZÀ-Ý][\w'\u2019-]{2,30}(?:\s[A-ZÀ-Ý][\w'\u2019-]{1,30})?"
        ),
        # Hauptstraße 5, Lange Gasse 12 a
        (
            r"\b[A-ZÄÖÜ][a-zäöüß-]{2,30}(?:straße|strasse|str\.|gasse|allee|platz|damm"
            r"|chaussee)\s\d{1,4}\s?[a-d]?\b(?!\s?(?:mm|cm|Tag|Std|%))"
        ),
        (
            r"\b[A-ZÄÖÜ][a-zäöüß-]{2,30}(?<!em)(?<!arn)(?<!allen)(?<!tions)(?<!uft)weg\s\d{1,4}\s?[a-d]?\b(?!\s?(?:mm"
            r"|cm|Tag|Std|%))"
        ),
        r"\b[A-ZÄÖÜ][\w-]{2,30}[\s-](?:Straße|Strasse|Str\.|Gasse|Allee|Platz|Weg|Ufer)\s\d{1,4}\s?[a-d]?\b",
        # ul. Długa 5, Vilniaus g. 12
        r"\b(?:ul|al)\.\s[A-ZĄĆĘŁŃÓŚŹŻ][\w'-]{2,30}(?:\s[A-ZĄĆĘŁŃÓŚŹŻ][\w'-]{2,30})?\s\d{1,4}(?:/\d{1,4})?",
        r"\b[A-ZĄČĘĖĮŠŲŪŽ][a-ząčęėįšųūž]{3,30}\sg\.\s\d{1,4}(?:-\d{1,4})?",
        # Am Markt 5, 10115 Berlin
        (
            rf"\b{_LARGE}[\w'\u2019-]{{1,30}}\s\d{{1,4}}\s?[a-d]?,\s{{1,2}}"
            rf"(?:[A-Z]{{1,2}}-)?\d{{5}}\s{_LARGE}[\w-]{{2,30}}"
        ),
        # what stands after the word
        (
            r"\b(?i:адрес[аи]?(?:\s(?:проживання|проживания|реєстрації|хворого|пацієнта))?|address|adresse"
            r"|anschrift)\s?:\s{0,2}"
            r"(?=[^\W_a-zа-яіїєґё])(?:[\w.]{1,30}[ ,]{1,2}){0,6}\d{1,4}"
        ),
    )
)


def find(text: str) -> Iterator[tuple[int, int]]:
    """Give the half-open places of addresses in a plain text."""
    for pattern in _PATTERNS:
        yield from (match.span() for match in pattern.finditer(text))
