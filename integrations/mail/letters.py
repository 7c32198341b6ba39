"""The words of a mail: one structured content a kind of letter, shown as plain text and as HTML.

A letter can say only what the catalogues can: specialty, priority, times, codes, counts, ids and links. No key holds
a free text, so no case text can leave this way. Times are worded in each side's own zone.
"""

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2

from integrations import catalogues, local_times, plain_text, remedy_words
from integrations.catalogues import Catalogue
from service import vocabulary

_FOLDER = Path(__file__).parent / "templates"
_PAGES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_FOLDER),
    autoescape=jinja2.select_autoescape(["html"]),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_DEADLINES = (
    "first_due_at", "answer_by", "answer_due_at", "advice_due_at", "held_until", "expires_at", "failing_since",
    "disabled_at", "away_until",
)  # fmt: skip
_IDS = ("consultation_id", "memorandum_id", "person_id", "endpoint_id", "institution_id")
_BUTTONS = (
    "sign_in", "join", "accept", "take", "stop", "confirm", "counter", "decline", "write_advice", "advice", "feedback",
    "candidates", "move", "cancel", "view", "away", "stop_digest",
)  # fmt: skip
# What a calendar may show: calendars are read by secretaries and phones, so no link there can act.
_LINKS_OF_EVENT = ("join", "view")
_ANSWERED_AT_ONCE = ("offer", "offer_written", "offer_late")
"""Letters that begin with what, until when, and the buttons: they are answered on a phone's first screen."""
_LINK = re.compile(r"https?://[!#-;=?-~]+")


class Unknown(ValueError):
    """The catalogues lack this letter, language, link or code; a newer program's may have it."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One letter in one language, whole in either form."""

    subject: str
    plain: str
    html: str


@dataclass(frozen=True, slots=True)
class EventText:
    """What a calendar shows for the appointment."""

    summary: str
    description: str


def write(template: str, locale: str, name: str, values: Mapping[str, Any], links: Mapping[str, str]) -> Letter:
    """The letter says what `template` says, wholly in `locale`, with every fact that `values` hold and every link.

    Instants are RFC 3339 strings. `zone` is the reader's own (else that of the first of `times`). A link named
    `accept_2` is worded with the second of `starts`. Raises Unknown for a language, letter, link or code that the
    catalogues lack, ValueError for a missing value that the letter needs and for a link that is not plain http(s).
    """
    words = _words(locale)
    texts = words["mail"]
    letter = _known(words.contexts, f"letter.{template}", "letter")
    worded = _worded(values, words)
    try:
        subject = letter["subject"].format_map(worded)
    except KeyError as missing:
        fault = f"{template} needs {missing}"
        raise ValueError(fault) from missing
    if "number" in worded:
        subject = f"{subject} [{worded['number']}]"
    reader = plain_text.line(name)
    paragraphs = _paragraphs(letter["text"].split("\n\n"), values, words)
    content = {
        "locale": locale,
        "subject": subject,
        "greeting": texts["greeting"].format(name=reader) if reader else texts["greeting_without_name"],
        "emergency": texts["emergency"] if _is_stat(values) else None,
        "paragraphs": paragraphs,
        "facts": list(_facts(values, words)),
        "lead": _lead(values, words) if template in _ANSWERED_AT_ONCE else [],
        "buttons": _buttons(values, links, words),
        "closing": texts["closing"],
    }
    text, html = (_PAGES.get_template(f"base.{form}").render(content) for form in ("txt", "html"))
    return Letter(subject, text, html)


def event_text(locale: str, values: Mapping[str, Any], links: Mapping[str, str]) -> EventText:
    """The appointment is described for a calendar: the facts as they are now, and links that only open a page."""
    words = _words(locale)
    event_links = {name: url for name, url in links.items() if name in _LINKS_OF_EVENT}
    rows = [*_facts({**values, "previous_starts_at": None}, words), *_buttons(values, event_links, words)]
    emergency = [words["mail"]["emergency"]] if _is_stat(values) else []
    description = "\n".join([*emergency, *(f"{label}: {value}" for label, value in rows)])
    return EventText(words["mail"]["event"].format_map(_worded(values, words)), description)


def _words(locale: str) -> Catalogue:
    if locale not in vocabulary.LOCALES:
        fault = f"no mails are written in {locale!r}"
        raise Unknown(fault)
    return catalogues.of(locale)


def _known(table: Mapping[str, Any], key: str, kind: str) -> Any:  # noqa: ANN401 - a catalogue holds strings and tables
    if key not in table:
        fault = f"no {kind} {key!r} in the catalogue"
        raise Unknown(fault)
    return table[key]


def _lead(values: Mapping[str, Any], words: Catalogue) -> list[str]:
    """Give what is asked and until when, by the reader's own clock, in two lines."""
    worded, labels = _worded(values, words), words["mail.facts"]
    asked = ", ".join(worded[key] for key in ("specialty", "priority") if key in worded)
    due = next((key for key in ("answer_by", "answer_due_at") if values.get(key)), None)
    until = [f"{labels[due]}: {_moment(values[due], _own_zone(values), words.locale)}"] if due else []
    return [asked, *until]


def _is_stat(values: Mapping[str, Any]) -> bool:
    return values.get("priority") == "stat"


def _paragraphs(paragraphs: list[str], values: Mapping[str, Any], words: Catalogue) -> list[str]:
    """Give the paragraphs, last a line about times at night; if it is known how many were asked, the second says so."""
    if values.get("at_night"):
        who = "both" if len(values["at_night"]) > 1 else values["at_night"][0]
        paragraphs = [*paragraphs, _known(words["mail"], f"at_night_{who}", "side")]
    if "asked" not in values:
        return paragraphs
    number = sum(count for answer, count in values["asked"].items() if answer != "undelivered")
    sentence = words.counted("mail", "asked", number) if number else words["mail"]["asked_none"]
    return [paragraphs[0], sentence.format(number=number), *paragraphs[1:]]


def _worded(values: Mapping[str, Any], words: Catalogue) -> dict[str, str]:
    worded = {}
    if values.get("number"):  # a mail that an older program made says none
        worded["number"] = plain_text.line(values["number"])
    if "specialty" in values:
        worded["specialty"] = plain_text.line(words.name(values["specialty"]))
    if "priority" in values:
        worded["priority"] = _known(words["priorities"], values["priority"], "priority")
    if "starts_at" in values:
        worded["when"] = _moment(values["starts_at"], _own_zone(values), words.locale)
    return worded


def _facts(values: Mapping[str, Any], words: Catalogue) -> Iterator[tuple[str, str]]:
    labels = words["mail.facts"]
    worded = _worded(values, words)
    yield from ((labels[key], worded[key]) for key in ("number", "specialty", "priority") if key in worded)
    if "mode" in values:
        yield labels["mode"], _known(words["modes"], values["mode"], "mode")
    yield from _times(values, words)
    yield from (
        (labels[key], _moment(values[key], _own_zone(values), words.locale)) for key in _DEADLINES if values.get(key)
    )
    if values.get("reason"):
        yield labels["reason"], _known(words["reasons"], values["reason"], "reason")
    for answer, number in values.get("asked", {}).items():
        yield _known(labels, f"asked_{answer}", "answer"), str(int(number))
    for code, number in values.get("counts", {}).items():
        yield labels["counts"].format(reason=_known(words["reasons"], code, "reason")), str(int(number))
    for remedy in values.get("would_help", []):
        yield labels["would_help"], remedy_words.with_number(remedy, _own_zone(values), words)
    for kind, number in values.get("waiting", {}).items():
        yield _known(labels, f"waiting_{kind}", "kind"), str(int(number))
    for what, number in values.get("depending", {}).items():
        yield _known(labels, f"depending_{what}", "number"), str(int(number))
    for number, case in enumerate(values.get("cases", []), 1):
        yield labels["case"].format(number=number), ", ".join(_worded(case, words).values())
    if values.get("institution_names"):
        yield labels["institution_names"], " — ".join(plain_text.line(name) for name in values["institution_names"])
    yield from ((labels[key], plain_text.line(values[key])) for key in _IDS if values.get(key))


def _times(values: Mapping[str, Any], words: Catalogue) -> Iterator[tuple[str, str]]:
    """The session by each side's clock, a row a side; then other times, all clocks in a row."""
    labels = words["mail.facts"]
    zones = [_own_zone(values), *(side["zone"] for side in values.get("times", []))]  # one's own clock first
    if values.get("starts_at"):
        sides = values.get("times") or [{"who": None, "zone": zones[0]}]
        for side in sides:
            label = labels["time"] if side["who"] is None else _known(labels, f"time_{side['who']}", "side")
            ahead = tuple(side["minutes_ahead"]) if side.get("minutes_ahead") else None
            yield label, _moment(values["starts_at"], side["zone"], words.locale, values.get("ends_at"), ahead)
            if side.get("agreed_wall"):
                yield labels["agreed_wall"], _wall(side["agreed_wall"], side["zone"], words.locale)
    if values.get("previous_starts_at"):
        yield labels["previous_starts_at"], _by_all_clocks(values["previous_starts_at"], zones, words)
    for number, start in enumerate(values.get("starts", []), 1):
        yield labels["option"].format(number=number), _by_all_clocks(start, zones, words)


def _by_all_clocks(instant: str, zones: list[str], words: Catalogue) -> str:
    return " = ".join(_moment(instant, zone, words.locale) for zone in dict.fromkeys(zones))


def _own_zone(values: Mapping[str, Any]) -> str:
    sides = values.get("times") or [{"zone": "UTC"}]
    return str(values.get("zone") or sides[0]["zone"])


@functools.lru_cache(maxsize=1024)
def _moment(
    instant: str, zone: str, locale: str, until: str | None = None, ahead: tuple[int, int] | None = None
) -> str:
    """The instant by the clock of `zone`; the span from it `until` the other, if there is one."""
    at = datetime.fromisoformat(instant)
    if until:
        return local_times.span(at, datetime.fromisoformat(until), zone, locale, ahead)
    return local_times.moment(at, zone, locale)


def _wall(wall: str, zone: str, locale: str) -> str:
    """What a clock of the place shows, or showed: no instant is meant."""
    at = datetime.fromisoformat(wall)
    return f"{local_times.day(at, locale)}, {at:%H:%M} ({local_times.place(zone, locale)})"


def _buttons(values: Mapping[str, Any], links: Mapping[str, str], words: Catalogue) -> list[tuple[str, str]]:
    rows = []
    for name, url in links.items():
        base, _, number = name.rpartition("_") if name[-1:].isdigit() else (name, "", "")
        label = _known(words["mail.links"], base, "link")
        if not _LINK.fullmatch(url):
            fault = f"the link {name!r} is not a plain http(s) address"
            raise ValueError(fault)
        if number:
            label = f"{label}: {_moment(values['starts'][int(number) - 1], _own_zone(values), words.locale)}"
        rows.append((_BUTTONS.index(base), int(number or 0), label, url))
    return [(label, url) for _, _, label, url in sorted(rows)]
