"""Dates of birth, told from the dates of operations, scans and visits that a clinical text is full of.

A word of birth beside a date makes it one. Without it, a whole date of more than a year ago may be one, unless a word
beside it says what was done on that day.
"""

# ruff: noqa: RUF001 - the patterns are made for Ukrainian text

import re
from collections.abc import Iterator
from datetime import date
from typing import NamedTuple

_STEMS = """
    січ=1 янв=1 jan=1 jän=1 sty=1 лют=2 фев=2 feb=2 fév=2 lut=2 бер=3 мар=3 mar=3 mär=3
    квіт=4 апр=4 apr=4 avr=4 kwi=4 трав=5 мая=5 май=5 may=5 mai=5 maj=5 черв=6 июн=6 jun=6 juin=6 cze=6
    лип=7 июл=7 jul=7 juil=7 lip=7 серп=8 авг=8 aug=8 aoû=8 aou=8 sie=8 вер=9 сен=9 sep=9 wrz=9
    жовт=10 окт=10 oct=10 okt=10 paź=10 лист=11 ноя=11 nov=11 lis=11 груд=12 дек=12 dec=12 déc=12 dez=12 gru=12
"""
_MONTHS = {stem: int(number) for stem, _, number in (each.partition("=") for each in _STEMS.split())}
"""How the months begin in Ukrainian, Russian, English, French, German and Polish."""
_LONGEST_STEM = max(map(len, _MONTHS))
_ROMAN = ("", "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii")
_OLDEST_YEAR = 1900
# A whole date may be a birth date if it is more than a year ago: dates in a consultation's last months are those of the
# injury, the operation, the scan. A younger patient's birth date is found by the word beside it.
_RECENT_DAYS = 366
_BESIDE = 30  # code points around a date in which a word of birth is looked for
_EVENT_BESIDE = 60  # the same for a word that says what was done on a day

_NUMERIC = re.compile(
    r"(?<![\d.,/-])(?:(?P<d>\d{1,2})(?P<s>\s?[./-]\s?)(?P<m>\d{1,2})(?P=s)(?P<y>\d{4}|\d{2})"
    r"|(?P<y2>\d{4})(?P<s2>[./-])(?P<m2>\d{1,2})(?P=s2)(?P<d2>\d{1,2}))(?![\d/-]|[.,]\d)"
)
_WORDED = re.compile(
    r"(?<!\d)(?:(?P<d>\d{1,2})(?:st|nd|rd|th|er|-?(?:го|е|ого))?[\s./-]{1,3}(?:of\s"
    r"|de\s)?(?P<m>[^\W\d_]{1,10})[.,/]{0,2}[\s./-]{0,3}"
    r"'?(?P<y>\d{4}|\d{2})"
    r"|(?P<m2>[^\W\d_]{3,10})\.?\s{1,3}(?P<d2>\d{1,2})(?:st|nd|rd|th)?,?\s{1,3}(?P<y2>\d{4}))(?!\d)"
)
_YEAR_FIRST = re.compile(
    r"(?<!\d)(?P<y>\d{4})(?:\s?р\.|\s?г\.|\sроку|\sгода)?,?\s{1,2}(?P<d>\d{1,2})\s{1,2}(?P<m>[^\W\d_]{3,10})"
    r"|(?<!\d)(?P<y2>\d{4}),?\s{1,2}(?P<m2>[^\W\d_]{3,10})\s{1,2}(?P<d2>\d{1,2})(?!\d)"
)
_SPACED = re.compile(  # blanks between, or the year set apart: told by a word of birth alone
    r"(?<![\d.,/-])(?P<d>\d{1,2})[ ./-]{1,2}(?P<m>\d{1,2})[ ./-]{1,2}'?(?P<y>\d{4}|\d{2})(?![\d/-]|[.,]\d)"
)
_COMPACT = re.compile(
    r"(?<!\d)(?:(?P<y>(?:19|20)\d\d)(?P<m>\d\d)(?P<d>\d\d)|(?P<d2>\d\d)(?P<m2>\d\d)(?P<y2>(?:19|20)\d\d))(?!\d)"
)
_MONTH_AND_YEAR = re.compile(r"(?<![\w.])(?P<m>[^\W\d_]{3,10}|0[1-9]|1[0-2])[ ./-]{1,2}(?P<y>\d{4})(?!\d)")

_LOOSE = (_SPACED, _COMPACT, _MONTH_AND_YEAR)
_FORMS = (_NUMERIC, _WORDED, _YEAR_FIRST, *_LOOSE)

_AFTER = r"року народж|роки народж|р\.?\s?нар|года рожд|р\.\s?н(?:\.|(?![\w/]))|р/н\b|г\.\s?р(?:\.|\b)|г\.\s?рожд"
_AFTER_DATE = re.compile(rf"\s{{0,2}}\(?(?:{_AFTER})[^\W\d_]{{0,8}}\.?", re.IGNORECASE)
_BIRTH = re.compile(
    rf"{_AFTER}|(?<!при )(?<!від )(?<!з )(?<!до )(?<!після )народ(?!н)|уродж"
    rf"|(?<!при )(?<!от )(?<!с )(?<!до )(?<!после )рожден|родил(?:ся|ась|сь)|\bд\.?\s?н\.?(?!\w)|\bд/н\b"
    rf"|\bд\.?\s?р\.(?!\w)|\bд/р\b"
    r"|\bг/р\b|\bd\.?o\.?b\b|(?<!new)\bborn\b|(?<!at )(?<!gave )(?<!after )(?<!since )\bbirth(?! ?weight)"
    r"|\bb\.\s?(?=\d)|\bnée?\b|\bné\(e\)|(?<!à la )naissance|\bgeb\b|\bgebor"
    r"|(?<!bei )(?<!seit )(?<!nach )(?<!unter der )geburt(?!sgewicht)"
    r"|\burodz|\bgim(?:\.|ė)",
    re.IGNORECASE,
)
_PERSON = re.compile(
    r"чолов|жін|хлопч|дівч|хвор|пацієнт|поранен[иои]|муж|жен|больн|пациент|мальч|девоч|\bman\b|\bmale\b|\bwoman\b"
    r"|\bfemale\b"
    r"|\bboy\b|\bgirl\b|patient(?!en)|homme|femme|\bmann\b|\bfrau\b",
    re.IGNORECASE,
)
_EVENT = re.compile(
    r"\b(?:план|відклад|отлож|перенес|schedul|geplant|prévu|evar|tevar|tavi|cabg|акш|ecmo|екмо|экмо|bcg|бцж|імуніз"
    r"|прийн|отрим|получ|діаг|звер|обрат|"
    r"погірш|ухудш|покращ|улучш|епізод|эпизод|напад|приступ|криз|смерт|помер|умер|останн|послед|last|first"
    r"|перш|перв|повтор|"
    r"dernier|première?|letzt|erst|zuletzt|episode|attack|visite|séjour|arrêt|stentimplant|"
    r"hb\b|hgb|wbc|crp|срб|лейк|тромбоц|гемогл|креат|білір|билир|глюк|птлр|пцр|pcr|covid|ковід|грип|грипп|тест"
    r"|test|негатив|негатив|позитив|"
    r"норм|результ|result|титр|tx\b|рівень|уровень|показник|"
    r"операц|опер\b|оперован|прооперов|оперир|втруч|травм|поранен[ьн]|ранени|уражен|кт\b|мрт|мскт|узд|узи\b"
    r"|ехо|эхо|рентген|"
    r"рент|екг|экг|еег|енмг|енцефал|пет\b|пэт|госпітал|госпитал|евакуа|эвакуа|надій|поступ|виписа?[нк]|випис|выпис"
    r"|ампут|імпл|"
    r"импл|протез|біопс|биопс|стент|шунт|транспл|пересад|хіміо|химио|курс|пхт|промен|лучев|опромін|вакцин|щепл"
    r"|привив|аналіз|"
    r"анализ|посів|посев|дослідж|исслед|огляд|осмотр|консульт|наклад|налож|встановл|установл|викон|выполн|провед"
    r"|резек|реваск|"
    r"інсульт|инсульт|інфаркт|инфаркт|дтп|вибух|взрыв|падін|паден|діагн|диагн|рецид|лікув|лечен|процед|діаліз"
    r"|диализ|перелом|"
    r"остеос|замін|замен|реконс|пласти|пункц|дрен|терап|полог|родорозр|кесар|контрол|візит|визит|призн|назнач|почат"
    r"|начат|"
    r"з'явил|корекц|коррекц|захвор|заболел|перен[іе]с|остан|демонт|знят|снят|видал|удал|перев[еі]д|скан|зріз|лаб"
    r"|гістол|гистол|цитол|доплер|"
    r"surg|operat|injur|ct\b|mri|pet\b|echo|ultraso|x-?ray|scan|admi(?:t|ss)|discharg|amput|implant|replac|revis"
    r"|biops|resect|"
    r"transpl|stent|bypass|graft|cycle|course|chemo|radio|vaccin|diagnos|fractur|stroke|infarct|blast|wound|shot"
    r"|procedure|"
    r"follow|seen|visit|ecg|eeg|emg|cultur|lab|start|stop|since|deliver|angio|dialys|underw|perform|done|histol"
    r"|pathol|"
    r"endosc|present|correct|relaps|treat|repair|fixat|remov|insert|placed|onset|"
    r"opér|chirurg|scanner|scann|irm|écho|hospitalis|greff|traumat|bless|accident|cure|radiog|posé|réalis|début"
    r"|depuis|bilan|"
    r"tdm|consult|contrôl|accouch|cs[aé]r|pose|"
    r"op\b|eingriff|unfall|verletz|mrt|sono|rönt|aufnahm|entlass|fraktur|impf|zyklus|verwund|befund|anlage|seit"
    r"|erfolgt|"
    r"durchgef|therapie|diagnose|kontroll|koloskop)"
    r"|(?:ектомі|эктоми|ектомии|томі|томи|скопі|скопи|графі|графи|пласти|ectom|otomi|otom|oscop|plast|graph|graf"
    r"|ektomi)[^\W\d_]{0,5}",
    re.IGNORECASE,
)
_DATED = re.compile(
    r"\b(?:від|от|з|із|с|со|до|по|на|vom|am|seit|bis|du|le|au|depuis|from|of|on|dated|since|until|to)\s{1,2}$",
    re.IGNORECASE,
)
_JOINED = re.compile(r"[\s,;\u2013-]{0,3}(?:(?:та|і|й|и|and|et|und|по|до|to|bis|au|or|або)\s{1,2})?", re.IGNORECASE)
_CLAUSE_END = re.compile(r"[;\n!?]|\.\s(?=[^\W\d_a-zа-яіїєґ])")
_ITEM_END = re.compile(r"[;\n]|\.\s|,\s")
_YEAR_AFTER = re.compile(r"\s?(?:р\.|р\b|року|г\.|г\b|года)?\s?")


class _Date(NamedTuple):
    start: int
    end: int
    day: date
    is_loose: bool
    """Only a word of birth tells that it is a date at all."""
    has_century: bool


def find(text: str, today: date) -> Iterator[tuple[int, int]]:
    """Give the half-open places of what may be a birth date in a plain text; `today` tells old dates from recent."""
    dates = _dates(text, today)
    excused_until = -1
    for number, (start, end, day, is_loose, has_century) in enumerate(dates):
        before = dates[number - 1].end if number else 0
        after = dates[number + 1].start if number + 1 < len(dates) else len(text) + _EVENT_BESIDE
        if _is_birth_named(text, start, end, before, after):
            yield start, end
            continue
        if is_loose:
            continue
        follows = excused_until == before and _JOINED.fullmatch(text, before, start) is not None
        if follows or _is_of_an_event(text, start, end, before, after):
            excused_until = end
        elif has_century and (today - day).days >= _RECENT_DAYS:
            yield start, end


def _dates(text: str, today: date) -> list[_Date]:
    """Give the dates from 1900 to today by place, without overlaps."""
    found: dict[int, _Date] = {}
    for pattern in _FORMS:
        for match in pattern.finditer(text):
            day = _day(match, today)
            if day and date(_OLDEST_YEAR, 1, 1) <= day <= today:
                is_loose = pattern in _LOOSE
                has_century = len(_part(match, "y")) == 4  # noqa: PLR2004 - 1984, not 84
                found.setdefault(match.start(), _Date(*match.span(), day, is_loose, has_century))
    apart: list[_Date] = []
    for each in sorted(found.values()):
        if not apart or each.start >= apart[-1].end:
            apart.append(each)
    return apart


def _part(match: re.Match[str], name: str) -> str:
    names = match.re.groupindex
    return (match[name] if name in names else None) or (match[f"{name}2"] if f"{name}2" in names else None) or ""


def _day(match: re.Match[str], today: date) -> date | None:
    year_text, month_text, day_text = _part(match, "y"), _part(match, "m"), _part(match, "d") or "1"
    month = int(month_text) if month_text.isdigit() else _month(month_text)
    year, day = int(year_text), int(day_text)
    if len(year_text) < 4:  # noqa: PLR2004 - 84 for 1984
        year += 2000 if year <= today.year % 100 else 1900
    for month_number, day_number in ((month, day), (day, month)):  # Americans put the month first
        try:
            return date(year, month_number, day_number)
        except ValueError:
            continue
    return None


def _month(word: str) -> int:
    word = word.casefold()
    roman = word.translate(str.maketrans("іхv", "ixv"))
    if roman in _ROMAN:
        return _ROMAN.index(roman)
    return next((_MONTHS[word[:n]] for n in range(_LONGEST_STEM, 2, -1) if word[:n] in _MONTHS), 0)


def _is_birth_named(text: str, start: int, end: int, before: int, after: int) -> bool:
    """Tell whether a word of birth stands beside the date, and belongs to no other date."""
    own = _AFTER_DATE.match(text, before) if before else None  # of the date before
    left = max(start - _BESIDE, min(own.end(), start) if own else before)
    if _BIRTH.search(text, left, end):
        return True
    match = _BIRTH.search(text, end, min(end + _BESIDE // 2, after))
    return match is not None and (_AFTER_DATE.match(text, end) is not None or after - match.end() > _BESIDE // 2)


def _is_of_an_event(text: str, start: int, end: int, before: int, after: int) -> bool:
    """Tell whether the words beside the date say what was done on that day."""
    left = max(before, start - _EVENT_BESIDE)
    clause = _CLAUSE_END.split(text[left:start])[-1]
    events = list(_EVENT.finditer(clause))
    if events and not _PERSON.search(clause, events[-1].end()):
        return True
    if _DATED.search(text, left, start):
        return True
    year = _YEAR_AFTER.match(text, end)
    right = year.end() if year else end
    rest = _ITEM_END.split(text[right : min(after, right + _EVENT_BESIDE)])[0]
    event = _EVENT.search(rest)
    if not event or rest.startswith(")"):  # what follows the bracket is no more about the date in it
        return False
    is_title = rest.startswith((":", "-")) or (event.start() == 0 and not _PERSON.search(clause))
    return is_title or after - right - event.end() > _BESIDE
