"""One's own account: name, language, zone and languages spoken; where one is signed in."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field

from api.edge import bodies, deps, problems, query, shapes
from api.edge.transactional import Transactional
from service import vocabulary
from service.kernel import errors
from service.people import devices, languages, people

router = APIRouter(tags=["people"], route_class=Transactional, dependencies=query.KNOWN_ONLY)
MOST_LANGUAGES = languages.MOST
_EXAMPLE_ID = "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11"
_ACCOUNT = {
    "display_name": "Mentor in paediatrics, Lille",
    "locale": "en",
    "zone": "Europe/Paris",
    "languages": [{"code": "en", "level": "C1"}, {"code": "fr", "level": "native"}],
}


class SpokenLanguage(shapes.Shape):
    """A language and how well it is spoken (CEFR)."""

    code: shapes.Language
    level: vocabulary.LanguageLevel


class Account(shapes.Shape):
    """What you say of yourself."""

    model_config = bodies.like(_ACCOUNT)
    display_name: str
    locale: str
    zone: str
    languages: list[SpokenLanguage]


class AccountChanges(shapes.Shape):
    """What is to change; `languages` replaces all of them, those of a mentor's profile too."""

    model_config = bodies.like(_ACCOUNT)
    display_name: shapes.Line = bodies.absent()
    locale: vocabulary.Locale = bodies.absent()
    zone: shapes.Zone = bodies.absent()
    languages: Annotated[list[SpokenLanguage], Field(max_length=MOST_LANGUAGES)] = bodies.absent()


class SignIn(shapes.Shape):
    """A sign-in that lasts: a browser's, or a program's that holds a token. `seen_at` is to within minutes."""

    model_config = bodies.like(
        {
            "id": _EXAMPLE_ID,
            "device": "Firefox, Android",
            "is_browser": True,
            "is_own_device": True,
            "since": "2026-11-30T09:00:00Z",
            "seen_at": "2026-11-30T10:00:00Z",
        }
    )
    id: shapes.Id
    device: str | None
    is_browser: bool
    is_own_device: bool
    since: shapes.Instant
    seen_at: shapes.Instant


@router.get("/v1/me/account", responses=problems.of(errors.Forbidden))
async def account(w: deps.R, response: Response) -> Account:
    """Tell what you say of yourself; the ETag is what a change has to name."""
    person = await people.oneself(w)
    deps.etag(response, person.version)
    spoken = await languages.of(w, person)
    return Account(
        display_name=person.display_name,
        locale=person.locale,
        zone=person.zone,
        languages=[SpokenLanguage(code=code, level=level) for code, level in spoken.items()],
    )


@router.patch("/v1/me/account", responses=problems.of(errors.Forbidden))
async def change(body: AccountChanges, w: deps.W, expect: deps.IfMatch, response: Response) -> Account:
    """Change what you say of yourself. Your hours as a mentor stay by the clock that they name."""
    person = await people.oneself(w, lock=True)
    expect(person)
    changes = bodies.given(body)
    spoken = changes.pop("languages", None)
    if spoken is not None:
        levels = {language.code: language.level for language in body.languages}
        if len(levels) < len(body.languages):
            raise errors.Invalid("/languages", "a language is there twice")
        await languages.put(w, person, levels)
    if changes:
        await people.change(w, person, changes, None)
    return await account(w, response)


@router.get("/v1/me/sign-ins", responses=problems.of(errors.Forbidden))
async def sign_ins(w: deps.R) -> shapes.Listing[SignIn]:
    """List where you are signed in, the last used first; 100 at most."""
    await people.oneself(w)
    return shapes.Listing[SignIn](
        items=[
            SignIn(
                id=device.id,
                device=device.name,
                is_browser=device.is_browser,
                is_own_device=device.is_own_device,
                since=device.since,
                seen_at=device.seen_at,
            )
            for device in await devices.of(w)
        ],
        next=None,
    )


@router.delete("/v1/me/sign-ins/{sign_in_id}", status_code=204)
async def end(sign_in_id: shapes.Id, w: deps.W) -> None:
    """Sign out there. What was signed in ends at once, its access tokens too."""
    await devices.end(w, sign_in_id)


@router.delete("/v1/me/sign-ins", status_code=204, responses=problems.of(errors.Forbidden))
async def end_all(w: deps.W) -> None:
    """Sign out everywhere; sign-in links that were mailed and not used yet count no more either."""
    await people.oneself(w)
    await devices.end_all(w)
