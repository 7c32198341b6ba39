"""Filing a request in three short steps: what, who and when, consent and check.

Each step is a plain form. What it sends is kept, sealed and for its writer alone, before the next one is shown
(`unfinished_forms`, decision 0117): so "back", a reload, a killed browser and another device find it. Whoever goes on
is led to what is wrong in the steps behind; whoever goes back is not told.
"""

import contextlib
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from api.edge import problems, shapes
from api.pages import fields, frame, remedies, wishes, words
from service import vocabulary
from service.care import consultations, filing, widening
from service.care.consultations import NewRequest
from service.care.widening import Outlook
from service.kernel import clock, deidentification, errors, idempotency
from service.kernel.work import Work
from service.people import unfinished_forms
from service.registry import specialty_finder
from service.rules import text_language
from service.rules.promise import Promise
from service.worklists import filed_requests, filing_choices
from service.worklists.filing_choices import SpecialtyChoice

router = APIRouter(route_class=frame.PageRoute, include_in_schema=False)
PATH = "/consultations/new"
MOST_FOUND = 12
LONGEST_TYPED = 200
FIND, SEND, DROP = "find", "send", "drop"
_FOUND = tuple[Outlook, Promise | None]


@dataclass(frozen=True, slots=True)
class _Asking:
    """Who asks by which form, what is filled in so far, and what can be chosen; `found`: what a word may mean."""

    visit: frame.Visit
    key: UUID
    form: fields.Fields
    choices: filing_choices.Choices
    found: Sequence[SpecialtyChoice]
    wish: NewRequest


@dataclass(frozen=True, slots=True)
class _Judged:
    """What is wrong before a step, which is the first one at fault, and what would become of the request."""

    tried: fields.Tried
    step: str
    foreseen: _FOUND | None = None
    status: int = 422


@router.get(PATH)
async def form_page(visit: frame.Known, another: str = "") -> Response:
    """Show the first step to whoever may file for somebody; a request that was begun and not sent goes on."""
    choices = await visit.read(_choices_to_file)
    if choices is None:
        texts = visit.words.table["nobody_to_file_for"]
        return visit.show("message.html", 403, title=texts["title"], text=texts["text"])
    begun = None if another else await visit.read(lambda w: unfinished_forms.newest(w, PATH))
    body = begun.body if begun else _known(visit, choices)
    asking = await _asking(visit, begun.key if begun else clock.new_id(), wishes.opened(body), choices)
    asking.form.faults = {}
    return await _page(asking, "1", begun_at=begun.begun_at if begun else None)


async def _choices_to_file(w: Work) -> filing_choices.Choices | None:
    """Give what a request can be made of; None if there is nobody to file for."""
    return await filing_choices.choices(w) if await filing.may_file(w) else None


def _known(visit: frame.Visit, choices: filing_choices.Choices) -> str:
    """Fill in what is known before anything is asked: nothing clinical."""
    usual = [("mode", "either"), ("duration", "30"), ("given_on", visit.today.isoformat())]
    is_own = visit.actor.holds("clinician")
    return urlencode(usual + [("languages", code) for code in choices.languages if is_own and code in words.LANGUAGES])


async def _asking(visit: frame.Visit, key: UUID, form: fields.Fields, choices: filing_choices.Choices) -> _Asking:
    found = await _meant(visit, form, choices)
    return _Asking(visit, key, form, choices, found, wishes.read(visit, form, choices))


@router.get(PATH + "/{key}/{step}")
async def step_page(visit: frame.Known, key: shapes.Id, step: str, check: str = "") -> Response:
    """Show a step with what is filled in; who is ahead of what is right is led back. `check`: also its own faults."""
    if step not in wishes.STEPS:
        raise errors.NotFound
    choices = await visit.read(filing_choices.choices)
    kept = await visit.read(lambda w: unfinished_forms.read(w, PATH, key))
    if kept is None:
        return frame.tell(visit, frame.see(PATH), "request_over")
    asking = await _asking(visit, key, wishes.opened(kept.body), choices)
    judged = await _judge(asking, str(int(step) + 1) if check else step)
    if judged.step < step:
        return frame.see(f"{PATH}/{key}/{judged.step}?check=all")
    if check == FIND:
        asking.form.faults = {name: fault for name, fault in asking.form.faults.items() if name == "specialty"}
    return await _page(asking, step, judged)


@router.post(PATH)
async def go(visit: frame.Known) -> Response:
    """Keep what the step has sent, then go on or back; or file the request: sent twice, it is filed once."""
    form = await fields.sent(visit.request)
    choices = await visit.read(filing_choices.choices)
    key, step = form.id("key") or clock.new_id(), form.typed("step")
    to = form.typed("to") or ("3" if form.typed("add") else SEND)
    if to == DROP:
        await visit.do(lambda w: unfinished_forms.drop(w, PATH, key))
        return frame.see(PATH)
    kept = await visit.read(lambda w: unfinished_forms.read(w, PATH, key)) if step in wishes.STEPS else None
    if kept is None and step == "3" and to == SEND:
        return await _sent_before(visit, key)
    whole = wishes.together(kept.body if kept else _known(visit, choices), form)
    wishes.widen(whole, form.all("add"))
    asking = await _asking(visit, key, whole, choices)
    refused = await _refused_texts(asking)
    if refused is not None:
        return await _page(asking, refused.step, refused)
    return await (_file(asking) if to == SEND else _go_on(asking, to))


async def _refused_texts(asking: _Asking) -> _Judged | None:
    """Refuse texts that may not be kept, not for an hour: what cannot be read, and what may name a patient."""
    visit, form, wish = asking.visit, asking.form, asking.wish
    unreadable = wishes.unreadable(form)
    if unreadable:
        step = min(map(wishes.step_of, unreadable))
        form.faults = {name: fault for name, fault in form.faults.items() if wishes.step_of(name) == step}
        return _at_its_step(form, fields.Tried("new", form))
    try:
        texts = consultations.texts_of(wish)
        await visit.read(lambda w: deidentification.look(w, texts, wish.confirmed_spans))
    except errors.PersonalDataFound as error:
        tried = fields.named("new", form, error)
        form.faults = {field.partition("/")[0]: "personal" for field, _ in tried.marks}
        return _at_its_step(form, tried)
    return None


def _at_its_step(form: fields.Fields, tried: fields.Tried, foreseen: _FOUND | None = None) -> _Judged:
    """Show the first step that has a fault, with its own faults only."""
    step = min((wishes.step_of(name) for name in form.faults), default="4")
    form.faults = {name: fault for name, fault in form.faults.items() if wishes.step_of(name) == step}
    return _Judged(tried, step, foreseen)


async def _go_on(asking: _Asking, to: str) -> Response:
    visit, key = asking.visit, asking.key
    if "specialty" not in asking.form.faults:
        asking.form.values.pop("specialty_name", None)
    body = wishes.written(asking.form)
    await visit.do(lambda w: unfinished_forms.save(w, PATH, key, body))
    step = to if to in wishes.STEPS else "1"
    return frame.see(f"{PATH}/{key}/{step}{'?check=find' if to == FIND else ''}")


async def _judge(asking: _Asking, to: str) -> _Judged:
    """Find what is wrong in the steps before `to`, the domain's word included from the last step on."""
    visit, form = asking.visit, asking.form
    form.faults = {name: fault for name, fault in form.faults.items() if wishes.step_of(name) < to}
    tried, foreseen = fields.Tried("new", form), None
    if not form.faults and to >= "3":
        try:
            foreseen = await _foresee(asking)
        except errors.Invalid as error:
            wishes.point(form, error)
        except (errors.Forbidden, errors.Conflict) as error:
            tried = fields.Tried("new", form, frame.problem_words(visit.words, error))
    return _at_its_step(form, tried, foreseen)


async def _foresee(asking: _Asking) -> _FOUND:
    """Say who could answer, were the patient's general consent given, as long as nothing else is said of it.

    As long as the second step is not filled in, it is taken to be what is usual.
    """
    wish = asking.wish
    wish = dataclasses.replace(
        wish,
        consent=wish.consent or consultations.ConsentGiven("general", asking.visit.today),
        priority=wish.priority or "routine",
        mode=wish.mode or "either",
        duration_minutes=wish.duration_minutes or int(wishes.LENGTHS[1]),
    )
    return await asking.visit.read(lambda w: widening.preview(w, wish))


async def _file(asking: _Asking) -> Response:
    """File the request; what is wrong is shown at its step, and what was filled in is kept."""
    visit, form, wish, key = asking.visit, asking.form, asking.wish, asking.key
    judged = _at_its_step(form, fields.Tried("new", form))
    try:
        if not form.faults:
            request = await _once(visit, key)
            return frame.see(await visit.do(lambda w: _file_once(w, request, key, wish)))
    except errors.Invalid as error:
        wishes.point(form, error)
        judged = _at_its_step(form, fields.Tried("new", form))
    except (errors.Forbidden, errors.Conflict, errors.IdempotencyKeyReused) as error:
        tried = fields.Tried("new", form, frame.problem_words(visit.words, error))
        judged = _Judged(tried, "3", status=problems.status_of(type(error)))
    body = wishes.written(form)
    await visit.do(lambda w: unfinished_forms.save(w, PATH, key, body))
    return await _page(asking, judged.step, judged)


async def _once(visit: frame.Visit, key: UUID) -> idempotency.Request:
    body = hashlib.sha256(await visit.request.body()).digest()
    return idempotency.Request(str(visit.actor.person_id), PATH, str(key), body)


async def _file_once(w: Work, request: idempotency.Request, key: UUID, wish: NewRequest) -> str:
    """File the request once; gives its address, also when the same form was sent before."""
    answer_or_id = await idempotency.begin(w, request)
    if isinstance(answer_or_id, idempotency.StoredAnswer):
        return answer_or_id.headers["location"]
    row = await consultations.request(w, wish)
    path = f"/consultations/{row.id}/sent"
    await idempotency.finish(w, answer_or_id, idempotency.StoredAnswer(303, {"location": path}, ""))
    await unfinished_forms.drop(w, PATH, key)
    return path


async def _sent_before(visit: frame.Visit, key: UUID) -> Response:
    """Lead to the request if this form was filed, as a second press does; else it was kept for its day, and is gone."""
    request = await _once(visit, key)

    async def look(w: Work) -> str | None:
        answer_or_id = await idempotency.begin(w, request)
        if isinstance(answer_or_id, idempotency.StoredAnswer):
            return answer_or_id.headers["location"]
        await idempotency.drop(w, answer_or_id)
        return None

    path = await visit.do(look)
    return frame.see(path) if path else frame.tell(visit, frame.see(PATH), "request_over")


@router.get("/consultations/{id}/sent")
async def sent(visit: frame.Known, id: shapes.Id) -> Response:  # noqa: A002 - the path's word
    """Say the number of the request that was filed, and what happens next."""
    filed = await visit.read(lambda w: filed_requests.filed(w, id))
    now: datetime = visit.world.clock.now()
    places = (visit.words.institution(filed.places[each.institution_id]) for each in filed.waiting)
    return visit.show(
        "request_sent.html",
        row=filed.row,
        tried=fields.Tried("", fields.Fields([])),
        waiting=filed.waiting,
        asked_at=list(dict.fromkeys(places)),
        answer_by=max((each.answer_by for each in filed.waiting), default=None),
        alert_at=filed.row.alert_at if filed.row.alert_at and filed.row.alert_at > now else None,
        **remedies.of_stuck(filed.stuck, visit.words, visit.zone, visit.today),
    )


@router.get("/specialties")
async def find(visit: frame.Anybody, q: str = "") -> Response:
    """Give the specialties that may be meant by what is being typed, as [code, name], for the script of the form.

    After the visit has ended none: nobody looks at this address, so nobody is led to the sign-in.
    """
    if visit.person is None:
        return JSONResponse([], 401, headers=frame.HEADERS)
    choices = await visit.read(filing_choices.choices)
    rows = await _found(visit, q[:LONGEST_TYPED], choices)
    return JSONResponse([[row.code, visit.words.specialty(row)] for row in rows], headers=frame.HEADERS)


async def _found(visit: frame.Visit, typed: str, choices: filing_choices.Choices) -> list[SpecialtyChoice]:
    codes = await visit.read(lambda w: specialty_finder.find(w, typed))
    bookable = _by_code(choices)
    return [bookable[code] for code in codes if code in bookable][:MOST_FOUND]


async def _meant(visit: frame.Visit, form: fields.Fields, choices: filing_choices.Choices) -> Sequence[SpecialtyChoice]:
    """Give what the typed word may mean, and choose it where that is clear; else it is a fault of the specialty."""
    typed = form.typed("specialty_name")[:LONGEST_TYPED]
    if not typed:
        return []
    found = await _found(visit, typed, choices)
    if form.typed("specialty") in {row.code for row in found}:
        return found
    named = [row for row in found if typed.casefold() in {row.name_en.casefold(), row.name_uk.casefold()}]
    if len(named or found) == 1:
        form.values["specialty"] = [(named or found)[0].code]
    else:
        form.values.pop("specialty", None)
        form.faults["specialty"] = "which_specialty" if found else "no_such_specialty"
    return found


def _by_code(choices: filing_choices.Choices) -> dict[str, SpecialtyChoice]:
    return {row.code: row for _, rows in choices.specialties for row in rows}


async def _page(
    asking: _Asking, step: str, judged: _Judged | None = None, *, begun_at: datetime | None = None
) -> Response:
    """Show a step."""
    visit, form, choices, texts = asking.visit, asking.form, asking.choices, asking.visit.words
    tried = judged.tried if judged else fields.Tried("new", form)
    is_at_fault = bool(form.faults or tried.said) and visit.request.method == "POST"
    by_code = _by_code(choices)
    chosen = by_code.get(form.typed("specialty"))
    offered = {row.code: row for row in (*asking.found, *([chosen] if chosen else []), *choices.recent)}
    return visit.show(
        f"request_{step}.html",
        judged.status if judged and is_at_fault else 200,
        step=step,
        tried=tried,
        form=form,
        key=asking.key,
        begun_at=begun_at,
        confirmed=[] if tried.confirm else wishes.confirmed_in(form, step),
        specialties=texts.in_order(by_code.values(), texts.specialty),
        offered=list(offered.values()),
        found=asking.found,
        chosen=chosen,
        guess=text_language.guess(form.typed("question"), form.all("languages")),
        colleagues=choices.colleagues,
        hospitals=texts.in_order(choices.hospitals, texts.institution),
        countries=texts.in_order(choices.countries, texts.country),
        is_clinician=visit.actor.holds("clinician"),
        priorities=vocabulary.PRIORITIES,
        modes=("either", *(mode for mode in vocabulary.OFFER_KINDS if mode != "either")),
        age_bands=vocabulary.AGE_BANDS,
        lengths=wishes.LENGTHS,
        windows=wishes.WINDOWS,
        has_windows=any(form.typed(f"{end}_{number}") for number in wishes.WINDOWS for end in ("from", "until")),
        consents=wishes.CONSENTS,
        languages=words.LANGUAGES,
        **await _outlook_words(asking, step, judged),
    )


async def _outlook_words(asking: _Asking, step: str, judged: _Judged | None) -> Mapping[str, Any]:
    """Give who could answer, and what would help: at the last step; at the second, the language that would."""
    foreseen = judged.foreseen if judged else None
    is_refused = judged is not None and judged.tried.said is not None
    if foreseen is None and step > "1" and not is_refused and asking.form.all("languages"):
        with contextlib.suppress(errors.DomainError):
            foreseen = await _foresee(asking)
    if foreseen is None:
        return {"outlook": None, "promise": None, "hint": None, "help": [], "reasons": []}
    outlook, promise = foreseen
    texts, zone = asking.visit.words, asking.visit.zone
    helping = remedies.before_filing(outlook, texts, zone)
    return {
        "outlook": outlook,
        "promise": promise,
        "hint": _language_hint(outlook, texts),
        "help": helping,
        "reasons": remedies.reasons(outlook, texts),
    }


def _language_hint(outlook: Outlook, texts: words.Words) -> str | None:
    """Say which one language more would let the most mentors answer."""
    for remedy in outlook.remedies:
        change = remedy.changes[0]
        if len(remedy.changes) == 1 and change.kind == "language" and change.code is not None:
            language = texts.language(change.code)
            return texts.counted("page.new", "with_language", remedy.mentors, language=language)
    return None
