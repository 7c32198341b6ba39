"""What a person chooses about the pages themselves: their language."""

import re
from uuid import UUID

from fastapi import APIRouter, Response

from api.pages import fields, frame
from service import vocabulary
from service.kernel import access
from service.kernel.work import Work
from service.people import people

router = APIRouter(route_class=frame.PageRoute, include_in_schema=False)
_KEPT_SECONDS = 365 * 24 * 3600
_OWN_PATH = re.compile(r"/(?!/)[A-Za-z0-9/._~-]*", re.ASCII)


@router.post("/language")
async def switch(visit: frame.Anybody) -> Response:
    """Speak another language: to this browser, and to the person in pages and mails if somebody is signed in."""
    form = await fields.sent(visit.request)
    locale, back = form.one_of("locale", vocabulary.LOCALES), form.typed("back")
    answer = frame.see(back if _OWN_PATH.fullmatch(back) else "/")
    if locale:
        person_id = visit.actor.person_id
        if person_id is not None and visit.words.locale != locale:
            await visit.do(lambda w: _speak(w, person_id, locale))
        frame.keep(answer, visit.world, frame.LANGUAGE, locale, _KEPT_SECONDS)
    return answer


async def _speak(w: Work, person_id: UUID, locale: str) -> None:
    person = await access.visible_person(w, person_id, lock=True)
    await people.change(w, person, {"locale": locale}, None)
