"""What would help a request that nobody can take: before it is filed, while it seeks its mentor, and done to it."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field, model_validator

from api.edge import bodies, deps, problems, query, shapes
from api.edge.transactional import Transactional
from api.v1 import consultations as requests
from service import vocabulary
from service.care import consultations, widening
from service.kernel import access, errors
from service.rules.matching import remedies

router = APIRouter(route_class=Transactional, tags=["Consultations"], dependencies=query.KNOWN_ONLY)
_CODED = ("language", "country")


class Change(shapes.Shape):
    """One change that makes a request wider.

    `language`: one more (`code`, ISO 639-1). `translation`: a written answer may be translated by a machine. `either`:
    a call or a written answer. `time`: the answer is due `until` then. `hours`: the clinician's usual ones, 07-21, in
    place of windows. `consent`: the general one. `country`: one more named in the consent (`code`, ISO 3166-1).
    """

    kind: vocabulary.ChangeKind
    code: shapes.Language | shapes.Country | None = None
    until: shapes.Instant | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> "Change":
        is_named = self.code is not None
        if is_named != (self.kind in _CODED) or (is_named and self.code.islower() != (self.kind == "language")):  # type: ignore[union-attr]
            raise ValueError(_CODE)
        if (self.until is not None) != (self.kind == "time"):
            raise ValueError(_UNTIL)
        return self


_CODE = "code goes with a language (two small letters) and with a country (two large ones), and with nothing else"
_UNTIL = "until goes with time, and with nothing else"


class Remedy(shapes.Shape):
    """One change or two, and how many `mentors` could answer then who cannot now."""

    changes: list[Change]
    mentors: int


class OutlookOut(shapes.Shape):
    """How many mentors can answer and were not asked yet; why the others cannot; what would help, the most first.

    `reasons` counts every rule that refuses each of them (`GET …/candidates` has them one by one). Two changes are
    told where some mentor needs both. Nobody is named.
    """

    may_be_asked: int
    reasons: dict[str, int]
    would_help: list[Remedy]


class PreviewOut(OutlookOut):
    """What would become of a request that is filed now."""

    promise: requests.PromiseOut | None


class PreviewIn(requests.ConsultationIn):
    """A request as it would be filed; the question may be left out, and is not read."""

    model_config = bodies.like({name: value for name, value in requests.EXAMPLE.items() if name != "question"})

    question: shapes.CaseText | None = None  # type: ignore[assignment]


class WidenIn(shapes.Shape):
    """What to change: one of `would_help`, or others of the kinds; a wider consent has its day."""

    model_config = bodies.like({"changes": [{"kind": "language", "code": "fr"}]})

    changes: Annotated[list[Change], Field(min_length=1, max_length=20)]
    given_on: shapes.Day | None = None


def outlook_out(found: widening.Outlook) -> OutlookOut:
    """Show how things look for the request."""
    return OutlookOut(may_be_asked=found.may_be_asked, reasons=dict(found.reasons), would_help=_shown(found.remedies))


def _shown(found: Sequence[remedies.Remedy]) -> list[Remedy]:
    return [
        Remedy(changes=[Change(**change._asdict()) for change in remedy.changes], mentors=remedy.mentors)
        for remedy in found
    ]


@router.post(
    "/v1/consultations/preview", responses=problems.of(errors.Forbidden, errors.GateRefused, errors.ModeNotOffered)
)
async def preview(body: PreviewIn, w: deps.W) -> PreviewOut:
    """See who could answer a request before it is filed, and what would help; nothing is stored, and nobody is told."""
    found, promise = await widening.preview(w, requests.wish(body, is_one_of_many=False))
    return PreviewOut(
        may_be_asked=found.may_be_asked,
        reasons=dict(found.reasons),
        would_help=_shown(found.remedies),
        promise=requests.promise_out(promise),
    )


@router.get(
    "/v1/consultations/{consultation_id}/outlook", responses=problems.of(errors.Forbidden, errors.IllegalTransition)
)
async def outlook(consultation_id: shapes.Id, w: deps.R) -> OutlookOut:
    """See how many are left to be asked, why the others cannot answer, and what would help."""
    return outlook_out(await widening.outlook(w, consultation_id))


@router.post(
    "/v1/consultations/{consultation_id}/widen", responses=problems.of(errors.Forbidden, errors.IllegalTransition)
)
async def widen(consultation_id: shapes.Id, body: WidenIn, w: deps.W, response: Response) -> requests.ConsultationOut:
    """Make the request wider, so that more mentors can answer: one that nobody could take asks again at once."""
    changes = [remedies.Change(change.kind, change.code, change.until) for change in body.changes]
    await widening.widen(w, consultation_id, changes, body.given_on)
    await w.flush()
    view = await consultations.view(w, await access.visible_consultation(w, consultation_id))
    deps.etag(response, view.row.version)
    return requests.consultation_out(view)
