"""What the form of a request says: its fields by step, read as a request, and faults of a verb put beside them."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import parse_qsl, urlencode

from api.pages import fields, frame, remedies, words
from service import vocabulary
from service.care import consultations
from service.kernel import errors
from service.rules import text_language
from service.worklists import filing_choices

WINDOWS = (1, 2, 3)
MOST_TAGS = 10
LENGTHS = ("15", "30", "45", "60", "90")
CONSENTS = ("general", "countries", "none")
STEPS: Mapping[str, Sequence[str]] = {
    "1": ("specialty", "specialty_name", "question", "age_band", "tags"),
    "2": (
        *("priority", "mode", "duration", "languages", "translation", "question_language"),
        *(f"{end}_{number}" for number in WINDOWS for end in ("from", "until")),
        *("institution_id", "department", "clinician_id"),
    ),
    "3": ("consent", "countries", "given_on"),
}
"""What each step asks, in the order of its page."""
_STEP_OF = {name: step for step, names in STEPS.items() for name in names}
_TEXTS = ("question", "tags", "department")
_TAG = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_POINTER = re.compile(r"/windows/(\d)/(from|until)")


def step_of(name: str) -> str:
    """Give the step that asks for the field; what none asks for is shown with the last."""
    return _STEP_OF.get(name.partition("/")[0], "3")


def written(form: fields.Fields) -> str:
    """Write what was filled in, of all steps, as a browser would."""
    kept = (*_STEP_OF, "confirmed")
    return urlencode([(name, value) for name in kept for value in form.values.get(name, ())])


def opened(body: str) -> fields.Fields:
    """Read what was written."""
    return fields.Fields(parse_qsl(body, keep_blank_values=True, max_num_fields=fields.MOST_FIELDS))


def together(body: str, sent: fields.Fields) -> fields.Fields:
    """Put what a step has sent in place of what stood there, and leave the other steps as they are in `body`.

    A form that names no step of ours stands for all of them.
    """
    step = sent.typed("step")
    asked = STEPS.get(step, _STEP_OF)
    own = [(name, value) for name, value in _pairs(sent) if name == "confirmed" or name in asked]
    others = _pairs(opened(body)) if step in STEPS else []
    return fields.Fields([(name, value) for name, value in others if _place(name, value) != step] + own)


def _pairs(form: fields.Fields) -> list[tuple[str, str]]:
    return [(name, value) for name, values in form.values.items() for value in values]


def _place(name: str, value: str) -> str:
    """Give the step of a field; of a place that was confirmed, the step of its text."""
    return step_of(value.partition(":")[0] if name == "confirmed" else name)


def confirmed_in(form: fields.Fields, step: str) -> list[str]:
    """Give the places in the texts of this step that name nobody, as the form sends them."""
    return [value for value in form.all("confirmed") if _place("confirmed", value) == step]


def unreadable(form: fields.Fields) -> list[str]:
    """Name the texts that may not be kept: too long, or with signs in them that no text has."""
    return [name for name, fault in form.faults.items() if name in _TEXTS and fault != "needed"]


def read(visit: frame.Visit, form: fields.Fields, choices: filing_choices.Choices) -> consultations.NewRequest:
    """Read the form, of whatever steps are filled in; what is at fault stands in its faults."""
    codes = {row.code for _, rows in choices.specialties for row in rows}
    specialty = "" if "specialty" in form.faults else form.one_of("specialty", codes)
    question, languages = form.words("question", "text") or "", form.some_of("languages", words.LANGUAGES)
    said = form.one_of("question_language", words.LANGUAGES, needed=False)
    guessed = text_language.guess(question, languages)
    return consultations.NewRequest(
        specialty=specialty,
        priority=form.one_of("priority", vocabulary.PRIORITIES),
        mode=form.one_of("mode", vocabulary.OFFER_KINDS),
        question=question,
        languages=languages,
        age_band=form.one_of("age_band", vocabulary.AGE_BANDS),
        duration_minutes=int(form.one_of("duration", LENGTHS) or 0),
        windows=_windows(visit, form),
        department=form.words("department", "line", needed=False),
        tags=_tags(form),
        is_translated=form.has("translation", "yes"),
        clinician_id=form.id("clinician_id"),
        institution_id=form.id("institution_id"),
        consent=_consent(form, choices),
        confirmed_spans=form.confirmed(),
        question_language=said or (guessed if guessed in languages else None),
    )


def _windows(visit: frame.Visit, form: fields.Fields) -> tuple[tuple[datetime, datetime], ...]:
    windows = []
    for number in WINDOWS:
        start, end = f"from_{number}", f"until_{number}"
        if form.typed(start) or form.typed(end):
            bounds = form.local(start, visit.zone, needed=True), form.local(end, visit.zone, needed=True)
            if bounds[0] and bounds[1]:
                windows.append((bounds[0], bounds[1]))
    return tuple(windows)


def _tags(form: fields.Fields) -> tuple[str, ...]:
    tags = tuple(form.items("tags"))
    if len(tags) > MOST_TAGS or not all(_TAG.fullmatch(tag) for tag in tags):
        form.faults["tags"] = "bad_tags"
    return tags


def _consent(form: fields.Fields, choices: filing_choices.Choices) -> consultations.ConsentGiven | None:
    scope = form.one_of("consent", CONSENTS)
    if scope in {"", "none"}:
        return None
    countries = form.some_of("countries", choices.countries, needed=scope == "countries")
    given_on = form.day("given_on")
    return consultations.ConsentGiven(scope, given_on, countries) if given_on else None


def point(form: fields.Fields, error: errors.Invalid) -> None:
    """Put each fault that a verb found beside its field."""
    faults = error.members["errors"]
    for fault in faults if isinstance(faults, list) else []:
        window = _POINTER.fullmatch(fault["pointer"])
        if window:
            filled = [number for number in WINDOWS if form.typed(f"from_{number}")]
            name = f"{window[2]}_{filled[int(window[1])]}"
        else:
            name = fault["pointer"].removeprefix("/")
        form.faults[name] = "choose_hospital" if name == "institution_id" else fault["detail"]


def widen(form: fields.Fields, values: Sequence[str]) -> None:
    """Do to what is filled in what a button under "what would help" says."""
    for change in remedies.read(values) or []:
        if change.kind == "language" and change.code is not None and not form.has("languages", change.code):
            form.values.setdefault("languages", []).append(change.code)
        elif change.kind == "translation":
            form.values["translation"] = ["yes"]
        elif change.kind == "either":
            form.values["mode"] = ["either"]
        elif change.kind == "hours":
            for number in WINDOWS:
                form.values.pop(f"from_{number}", None)
                form.values.pop(f"until_{number}", None)
