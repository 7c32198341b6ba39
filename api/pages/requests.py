"""Filing a request: one form that can be filled on a phone, errors beside the fields."""

import hashlib
import re
from datetime import datetime

from fastapi import APIRouter, Response

from api.edge import problems
from api.pages import fields, frame, words
from service import vocabulary
from service.care import consultations, filing
from service.kernel import clock, errors, idempotency
from service.kernel.work import Work
from service.worklists import filing_choices

router = APIRouter(route_class=frame.PageRoute, include_in_schema=False)
WINDOWS = (1, 2, 3)
MOST_TAGS = 10
LENGTHS = ("15", "30", "45", "60", "90")
CONSENTS = ("none", *vocabulary.CONSENT_SCOPES)
_TAG = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_POINTER = re.compile(r"/windows/(\d)/(from|until)")


@router.get("/consultations/new")
async def form_page(visit: frame.Known) -> Response:
    """Show the empty form to whoever may file for somebody."""
    choices = await visit.read(_choices_to_file)
    if choices is None:
        texts = visit.words.table["nobody_to_file_for"]
        return visit.show("message.html", 403, title=texts["title"], text=texts["text"])
    usual = [("priority", "routine"), ("mode", "either"), ("age_band", "adult"), ("duration", "30")]
    return _page(visit, choices, fields.Tried("new", fields.Fields([*usual, ("given_on", visit.today.isoformat())])))


async def _choices_to_file(w: Work) -> filing_choices.Choices | None:
    """Give what a request can be made of; None if there is nobody to file for."""
    return await filing_choices.choices(w) if await filing.may_file(w) else None


@router.post("/consultations/new")
async def file(visit: frame.Known) -> Response:
    """File the request; sent twice, it is filed once."""
    form = await fields.sent(visit.request)
    choices = await visit.read(filing_choices.choices)
    wish = _wish(visit, form, choices)
    if wish is None:
        return _page(visit, choices, fields.Tried("new", form), 422)
    body = await visit.request.body()
    key = idempotency.Request(
        str(visit.actor.person_id),
        "/consultations/new",
        str(form.id("key") or clock.new_id()),
        hashlib.sha256(body).digest(),
    )
    try:
        return frame.see(await visit.do(lambda w: _file_once(w, key, wish)))
    except errors.PersonalDataFound as error:
        return _page(visit, choices, fields.named("new", form, error), 422)
    except errors.Invalid as error:
        _point(form, error)
        return _page(visit, choices, fields.Tried("new", form), 422)
    except (errors.Forbidden, errors.Conflict, errors.IdempotencyKeyReused) as error:
        problem = frame.problem_words(visit.words, error)
        return _page(visit, choices, fields.Tried("new", form, problem), problems.status_of(type(error)))


async def _file_once(w: Work, key: idempotency.Request, wish: consultations.NewRequest) -> str:
    """File the request once; gives its address, also when the same form was sent before."""
    answer_or_id = await idempotency.begin(w, key)
    if isinstance(answer_or_id, idempotency.StoredAnswer):
        return answer_or_id.headers["location"]
    row = await consultations.request(w, wish)
    path = f"/consultations/{row.id}"
    await idempotency.finish(w, answer_or_id, idempotency.StoredAnswer(303, {"location": path}, ""))
    return path


def _wish(visit: frame.Visit, form: fields.Fields, choices: filing_choices.Choices) -> consultations.NewRequest | None:
    """Read the form; None when a field is at fault."""
    codes = {row.code for _, rows in choices.specialties for row in rows}
    wish = consultations.NewRequest(
        specialty=form.one_of("specialty", codes),
        priority=form.one_of("priority", vocabulary.PRIORITIES),
        mode=form.one_of("mode", vocabulary.OFFER_KINDS),
        question=form.words("question", "text") or "",
        languages=form.some_of("languages", words.LANGUAGES),
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
    )
    return None if form.faults else wish


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


def _point(form: fields.Fields, error: errors.Invalid) -> None:
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


def _page(visit: frame.Visit, choices: filing_choices.Choices, tried: fields.Tried, status: int = 200) -> Response:
    texts = visit.words
    specialties = [(area, texts.in_order(rows, texts.specialty)) for area, rows in choices.specialties]
    return visit.show(
        "new.html",
        status,
        tried=tried,
        form=tried.form,
        colleagues=choices.colleagues,
        hospitals=texts.in_order(choices.hospitals, texts.institution),
        specialties=texts.in_order(specialties, lambda area: texts.specialty(area[0])),
        countries=texts.in_order(choices.countries, texts.country),
        key=clock.new_id(),
        is_clinician=visit.actor.holds("clinician"),
        priorities=vocabulary.PRIORITIES,
        modes=vocabulary.OFFER_KINDS,
        age_bands=vocabulary.AGE_BANDS,
        lengths=LENGTHS,
        windows=WINDOWS,
        consents=CONSENTS,
        languages=words.LANGUAGES,
    )
