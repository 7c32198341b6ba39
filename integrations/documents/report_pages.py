"""A report on two pages of paper: the headline figures beside the period before and what was published; charts.

Each page is made to fit: what is longer than it is drawn smaller, never cut off and never on a third page.
"""

import io
import itertools
import re
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import BinaryIO

from babel import Locale, dates, numbers
from reportlab.platypus import Flowable, KeepInFrame, PageBreak, Spacer, Table

from integrations import catalogues, plain_text
from integrations.catalogues import Catalogue
from integrations.documents import charts, pdf
from service.reporting.reports import Report, Titles
from service.rules.figures.figures import Figure, Month, Part, Published

_TILES = ("sessions", "written_advices", "minutes", "hours_to_answer")
_SHOWN = (
    "consultations_filed",
    "share_answered_in_time",
    "share_answered_within_day",
    "hours_to_allocation",
    "hours_to_answer",
    "share_first_wave_accepted",
    "share_needing_backup",
    "sessions",
    "written_advices",
    "minutes",
    "interruptions",
    "share_outside_civil_hours_requester",
    "share_outside_civil_hours_mentor",
    "mentor_minutes_top_quarter",
    "activities",
    "activity_people",
    "memoranda",
    "memoranda_idle_90_days",
    "hours_left",
    "idle_days",
)
"""The figures of the first page, in their order."""
_MOST_BARS = 32
_MOST_AREAS, _MOST_COUNTRIES = 10, 6
_NOTHING = "—"
_LONGEST = 600
_LONG_NAME = 60  # characters; a longer one is written smaller
_MINUS = "\N{MINUS SIGN}"
_SIGNS = {"=": "", "~": "≈ ", ">": "> ", "<": "< ", ">=": "≥ ", "<=": "≤ "}
_FRAME = 12  # what a frame keeps free around its content
_DATED = re.compile(r"(?P<note>[^:]+?),? (?:on|by|month|unknown) (?P<on>\d{4}\S*?)(?::.*)?", re.DOTALL)
_QUARTER = 3


def document(report: Report, titles: Titles, locale: str) -> BinaryIO:
    """Give the report as a PDF of two pages, wholly in `locale` but for what others published in their language."""
    words = catalogues.of(locale)
    general = words["report"]
    title = general.get(f"title_{report.kind}", general["title"])
    name = plain_text.line(words.name(titles.subject), _LONGEST)
    footer = general["made"].format(at=f"{report.made_at:%Y-%m-%d %H:%M}", id=report.subject_id)
    story = [_fitted(_first(report, name, title, words)), PageBreak(), _fitted(_second(report, titles, words))]
    return io.BytesIO(pdf.render(story, pdf.About(f"{title}: {name}", locale, footer)))


def _fitted(story: Sequence[Flowable]) -> KeepInFrame:
    height = pdf.PAGE[1] - 2 * pdf.MARGIN - _FRAME
    return KeepInFrame(pdf.WIDTH - _FRAME, height - 1, list(story), mode="shrink", vAlign="TOP")


def _first(report: Report, name: str, title: str, words: Catalogue) -> list[Flowable]:
    figures = {figure.name: figure for figure in report.figures}
    listed = [figures[key] for key in _SHOWN if key in figures]
    general, head = words["report"], words["report.head"]
    period = general["period"].format_map(_days(report.from_on, report.until_on, words) | {"zone": report.zone})
    before = [general["before"].format_map(_days(*report.previous, words))] if report.previous else []
    sources: dict[str, list[str]] = {}
    rows = [[head["figure"], head["now"], head["before"], head["change"], head["published"]]]
    rows += [_row(figure, words, sources) for figure in listed]
    return [
        pdf.words(title, pdf.HEADING),
        pdf.words(name, pdf.TITLE if len(name) <= _LONG_NAME else pdf.LARGE),
        pdf.words(", ".join([period, *before])),
        _tiles([figures[key] for key in _TILES], words),
        Spacer(1, 3 * pdf.MM),
        pdf.table(rows, [40, 15, 15, 15, 20], numeric=[1, 2, 3]),
        *([pdf.words(general["sources"], pdf.HEADING)] if sources else []),
        *(
            pdf.words(f"[{place}] {source}: {'; '.join(notes)}", pdf.SMALL)
            for place, (source, notes) in enumerate(sources.items(), 1)
        ),
        Spacer(1, 2 * pdf.MM),
        pdf.words(general["definitions"], pdf.SMALL),
    ]


def _tiles(figures: Sequence[Figure], words: Catalogue) -> Table:
    cells = [
        [
            pdf.words(_value(figure, figure.value, words), pdf.LARGE),
            pdf.words(words["report.figures"][figure.name], pdf.SMALL),
        ]
        for figure in figures
    ]
    style = [("VALIGN", (0, 0), (-1, -1), "TOP"), ("BACKGROUND", (0, 0), (-1, -1), pdf.SHADE)]
    return Table([cells], colWidths=[pdf.WIDTH / len(cells)] * len(cells), hAlign="LEFT", style=style)


def _row(figure: Figure, words: Catalogue, sources: dict[str, list[str]]) -> list[str]:
    published = []
    for entry in figure.published:
        source, note = plain_text.line(entry.source, _LONGEST), plain_text.line(_note(entry, words), _LONGEST)
        notes = sources.setdefault(source, [])
        if note not in notes:
            notes.append(note)
        place = list(sources).index(source) + 1
        published.append(f"{_SIGNS[entry.op]}{_value(figure, entry.value, words)} [{place}]")
    now, before = (_value(figure, value, words) for value in (figure.value, figure.previous))
    return [words["report.figures"][figure.name], now, before, _change(figure, words), "\n".join(published)]


def _note(published: Published, words: Catalogue) -> str:
    """Give the note in the document's language as far as its words are known, and its day."""
    notes, dated = words["report.notes"], _DATED.fullmatch(published.note)
    if dated is None:
        return notes.get(published.note, published.note)
    return words["report"]["as_of"].format(note=notes.get(dated["note"], dated["note"]), on=dated["on"])


def _value(figure: Figure, value: float | None, words: Catalogue) -> str:
    if value is None:
        return _NOTHING
    if figure.unit == "share":
        return _percent(value, words)
    number = _number(value, words)
    return words["report.units"].get(figure.unit, "{value}").format(value=number)


def _change(figure: Figure, words: Catalogue) -> str:
    if figure.value is None or figure.previous is None:
        return _NOTHING
    difference = figure.value - figure.previous
    sign = "+" if difference > 0 else _MINUS if difference < 0 else ""
    if figure.unit == "share":
        return sign + words["report"]["points"].format(value=_number(abs(difference) * 100, words))
    if figure.unit == "hours":
        return sign + _value(figure, abs(difference), words)
    return sign + _number(abs(difference), words)


def _number(value: float, words: Catalogue) -> str:
    return numbers.format_decimal(value, "#,##0.#" if value < 100 else "#,##0", locale=words.formats)  # noqa: PLR2004


def _percent(value: float, words: Catalogue) -> str:
    return numbers.format_percent(value, "#,##0.#\N{NO-BREAK SPACE}%", locale=words.formats)


def _days(from_on: date, until_on: date, words: Catalogue) -> dict[str, str]:
    last_on = until_on - timedelta(days=1)
    days = {"from": from_on, "until": last_on}
    return {name: dates.format_date(day, "long", words.formats) for name, day in days.items()}


def _second(report: Report, titles: Titles, words: Catalogue) -> list[Flowable]:
    figures = {figure.name: figure for figure in report.figures}
    texts = words["report.charts"]
    kind, stacks = _stacks(report.months or ())
    specialty_names = {code: words.name(name) for code, name in titles.specialties.items()}
    countries = Locale.parse(words.formats).territories
    country_names = {part.key: countries.get(part.key, texts["unknown"]) for part in figures["partner_countries"].parts}
    answer = [
        _spread(part, figures["hours_to_answer"], words) for part in figures["hours_to_answer"].parts if part.rows
    ]
    return [
        pdf.words(texts[kind], pdf.HEADING),
        *_over_time(stacks, words),
        *_chart(texts["answer"], answer, words, (20, 38, 42)),
        *_chart(texts["areas"], _most(figures["areas"], specialty_names, _MOST_AREAS, words), words),
        *_chart(texts["countries"], _most(figures["partner_countries"], country_names, _MOST_COUNTRIES, words), words),
    ]


def _over_time(stacks: Sequence[charts.Stack], words: Catalogue) -> list[Flowable]:
    if not any(stack.lower or stack.upper for stack in stacks):
        return [pdf.words(words["report"]["nothing"])]
    texts = words["report.charts"]
    return [charts.legend((texts["live"], pdf.ACCENT), (texts["written"], charts.LIGHT)), charts.Columns(stacks)]


def _chart(
    title: str, lines: Sequence[charts.NamedBar], words: Catalogue, widths: tuple[float, float, float] = (40, 50, 10)
) -> list[Flowable]:
    return [
        pdf.words(title, pdf.HEADING),
        charts.beside(lines, widths) if lines else pdf.words(words["report"]["nothing"]),
    ]


def _stacks(months: Sequence[Month]) -> tuple[str, list[charts.Stack]]:
    """Give the bars over time: months, or quarters or years of a period that has too many of them."""
    kinds = ("months", "quarters", "years")
    kind = next((kind for kind in kinds if len({_label(kind, month) for month in months}) <= _MOST_BARS), kinds[-1])
    groups = [(label, list(group)) for label, group in itertools.groupby(months, lambda month: _label(kind, month))]
    return kind, [
        charts.Stack(label, sum(month.sessions for month in group), sum(month.written_advices for month in group))
        for label, group in groups[-_MOST_BARS:]
    ]


def _label(kind: str, month: Month) -> str:
    day = month.first_on
    if kind == "quarters":
        return f"{(day.month - 1) // _QUARTER + 1}/{day.year}"
    return f"{day:%m.%Y}" if kind == "months" else str(day.year)


def _spread(part: Part, figure: Figure, words: Catalogue) -> charts.NamedBar:
    lower, median, upper = (value or 0.0 for value in (part.lower_quartile, part.value, part.upper_quartile))
    text = words["report.charts"]["spread"].format(
        median=_value(figure, median, words), lower=_number(lower, words), upper=_number(upper, words), rows=part.rows
    )
    return charts.NamedBar(words["report.priorities"].get(part.key, part.key), upper, text, lower, median)


def _most(figure: Figure, names: Mapping[str, str], count: int, words: Catalogue) -> list[charts.NamedBar]:
    """Give the parts with the highest values, highest first, and all others as one."""
    ordered = sorted(figure.parts, key=lambda part: (-(part.value or 0), part.key))
    lines = [
        charts.NamedBar(
            plain_text.line(names.get(part.key, part.key)), part.value or 0, _number(part.value or 0, words)
        )
        for part in ordered[:count]
    ]
    other_parts = ordered[count:]
    if other_parts:  # without a bar: it would outgrow those that are shown
        other_sum = _number(sum(part.value or 0 for part in other_parts), words)
        label = words.counted("report.charts", "others", len(other_parts)).format(count=len(other_parts))
        lines.append(charts.NamedBar(label, 0, other_sum))
    return lines
