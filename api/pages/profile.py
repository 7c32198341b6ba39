"""One's own profile: name, language and zone, languages spoken, notices, devices that are signed in, one's data."""

import json
from collections.abc import Awaitable, Callable, Mapping

from fastapi import APIRouter, Response

from api.edge import problems, push_receivers
from api.pages import devices as browser_names
from api.pages import fields, frame, words
from integrations import zone_search
from service import tables, vocabulary
from service.kernel import email_addresses, errors
from service.kernel.work import Work
from service.outbox import push_subscriptions
from service.people import browser_sessions, devices, languages, own_address, people, preferences, privacy
from service.worklists import own_profile

router = APIRouter(route_class=frame.PageRoute, include_in_schema=False)
_KEPT_SECONDS = 365 * 24 * 3600


@router.get("/profile")
async def show(visit: frame.Known) -> Response:
    """Show what the visitor is called, how they are reached, where they are signed in."""
    return await _page(visit, is_saved="saved" in visit.request.query_params)


@router.post("/profile")
async def save(visit: frame.Known) -> Response:
    """Change name, language and zone; a zone may be a town's or any name of one, and is asked back if several fit."""
    form = await fields.sent(visit.request)
    name = form.words("display_name", "line")
    locale = form.one_of("locale", vocabulary.LOCALES)
    zones = zone_search.found(form.typed("zone"), visit.words.locale)
    if not zones:
        form.faults["zone"] = "no_zone" if form.typed("zone") else "needed"
    if form.faults or len(zones) != 1:
        return await _page(visit, 422, "person", form, zones=zones)
    changes = {"display_name": name, "locale": locale, "zone": zones[0]}
    answer = await _tried(visit, "person", form, lambda w: _change(w, form.typed("version"), changes))
    frame.keep(answer, visit.world, frame.LANGUAGE, locale, _KEPT_SECONDS)
    return answer


@router.post("/profile/languages")
async def save_languages(visit: frame.Known) -> Response:
    """Change which languages the visitor speaks, and how well."""
    form = await fields.sent(visit.request)
    spoken: dict[str, vocabulary.LanguageLevel] = {}
    for code in _codes(await visit.read(own_profile.read)):
        chosen = form.one_of(f"level_{code}", vocabulary.LANGUAGE_LEVELS, needed=False)
        spoken.update((code, level) for level in vocabulary.LANGUAGE_LEVELS if level == chosen)
    if form.faults:
        return await _page(visit, 422, "languages", form)
    return await _tried(visit, "languages", form, lambda w: _speak(w, form.typed("version"), spoken))


@router.post("/profile/notices")
async def save_notices(visit: frame.Known) -> Response:
    """Choose what comes beside the mails, by which way, and whether the other side of a call sees one's telephone."""
    form = await fields.sent(visit.request)
    changes: dict[str, object] = {
        "notices": form.some_of("notices", vocabulary.NOTICES, needed=False),
        "phone": form.typed("phone") or None,
        "shows_phone": form.has("shows_phone", "yes"),
    }
    if form.typed("digest_hour"):
        changes["digest_hour"] = form.number("digest_hour", 0, 23)
    if form.faults:
        return await _page(visit, 422, "notices", form)

    async def choose(w: Work) -> None:
        await preferences.change(w, await _own(w, form.typed("version")), changes)

    return await _tried(visit, "notices", form, choose)


@router.post("/profile/address")
async def ask_for_address(visit: frame.Known) -> Response:
    """Ask for another address: a link in a mail to it makes it the visitor's."""
    form = await fields.sent(visit.request)
    address = form.words("email", "email")
    if address is None:
        return await _page(visit, 422, "address", form)
    return await _tried(visit, "address", form, lambda w: own_address.ask(w, address))


@router.post("/profile/push")
async def push_here(visit: frame.Known) -> Response:
    """Have this device told at once, as its browser gave its address; who had nothing told so has both from now on."""
    form = await fields.sent(visit.request)
    receiver = push_receivers.read(visit.world, form.typed("made"))
    cookie = visit.request.cookies.get(frame.cookie_name(visit.world))
    family_id = browser_sessions.id_of(visit.world.keys, cookie)
    name = browser_names.named(visit.request.headers.get("user-agent", ""))

    async def subscribe(w: Work) -> None:
        await push_subscriptions.subscribe(w, receiver, family_id, name)
        await preferences.have_pushed(w)

    await visit.do(subscribe)
    return frame.see("/profile?saved=1#push")


@router.post("/profile/push/{id}/off")
async def push_off(visit: frame.Known, id: str) -> Response:  # noqa: A002 - the path's word
    """Have nothing told on one device any more."""
    subscription_id = fields.Fields([("id", id)]).id("id")
    if subscription_id is None:
        raise errors.NotFound
    await visit.do(lambda w: push_subscriptions.unsubscribe(w, subscription_id))
    return frame.see("/profile?saved=1#push")


@router.post("/profile/devices/{id}")
async def sign_out_there(visit: frame.Known, id: str) -> Response:  # noqa: A002 - the path's word
    """Sign out on one device."""
    device = fields.Fields([("id", id)]).id("id")
    if device is None:
        raise errors.NotFound
    await visit.do(lambda w: devices.end(w, device))
    return frame.see("/profile?saved=1#devices")


@router.post("/profile/devices")
async def sign_out_everywhere(visit: frame.Known) -> Response:
    """Sign out on every device, this one included, and of every program that signed in as the visitor."""
    await visit.do(devices.end_all)
    answer = frame.see("/")
    frame.keep(answer, visit.world, frame.cookie_name(visit.world), "", 0)
    return answer


@router.post("/profile/data")
async def give_data(visit: frame.Known) -> Response:
    """Give what is stored about the visitor, as a file."""
    dossier = await visit.do(privacy.own_dossier)
    content = json.dumps(dossier, ensure_ascii=False, indent=1, default=str)
    headers = frame.HEADERS | {"Content-Disposition": 'attachment; filename="pobratym-data.json"'}
    return Response(content, media_type="application/json", headers=headers)


async def _tried(
    visit: frame.Visit, name: str, form: fields.Fields, body: Callable[[Work], Awaitable[object]]
) -> Response:
    """Store it and show the page; what fails is shown there, with what was typed."""
    try:
        await visit.do(body)
    except errors.StaleVersion as error:
        return await _page(visit, problems.status_of(type(error)), name, form, is_stale=True)
    except email_addresses.Unmailable as error:
        form.faults["email"] = error.refused
        return await _page(visit, 422, name, form)
    except errors.Invalid as error:
        faults = error.members["errors"]
        for fault in faults if isinstance(faults, list) else []:
            form.faults[str(fault["pointer"]).removeprefix("/")] = fault["detail"]
        return await _page(visit, 422, name, form)
    return frame.see(f"/profile?saved=1#{name}")


async def _own(w: Work, version: str) -> tables.Person:
    """Give the actor's row, locked; raises StaleVersion if it has changed since the form was made."""
    person = await people.oneself(w, lock=True)
    if str(person.version) != version:
        raise errors.StaleVersion
    return person


async def _change(w: Work, version: str, changes: Mapping[str, object]) -> None:
    person = await _own(w, version)
    changed = {name: value for name, value in changes.items() if getattr(person, name) != value}
    if changed:
        await people.change(w, person, changed, None)


async def _speak(w: Work, version: str, spoken: Mapping[str, vocabulary.LanguageLevel]) -> None:
    await languages.put(w, await _own(w, version), spoken)


def _codes(own: own_profile.OwnProfile) -> list[str]:
    """List the languages that the form asks about: those that requests are written in, and what else is spoken."""
    return list(dict.fromkeys([*words.LANGUAGES, *own.languages]))


async def _page(
    visit: frame.Visit,
    status: int = 200,
    name: str = "",
    form: fields.Fields | None = None,
    *,
    zones: list[str] | None = None,
    is_stale: bool = False,
    is_saved: bool = False,
) -> Response:
    own = await visit.read(own_profile.read)
    push_key = own.push_key or (await visit.do(push_subscriptions.signing_key)).public
    tried = fields.Tried(name, form or fields.Fields([]))
    if is_stale:
        tried.form.values["version"] = [str(own.person.version)]
    return visit.show(
        "profile.html",
        status,
        own=own,
        tried=tried,
        forms={each: _filled(own, each, tried) for each in ("person", "languages", "notices", "address")},
        zones=zones or [],
        push_key=push_key,
        notices=vocabulary.NOTICES,
        has_sms=visit.world.settings.sms_url is not None,
        codes=_codes(own),
        levels=vocabulary.LANGUAGE_LEVELS,
        locales=vocabulary.LOCALES,
        this_device=browser_sessions.id_of(visit.world.keys, visit.request.cookies.get(frame.cookie_name(visit.world))),
        email=email_addresses.shown(own.person.email),
        wished=email_addresses.shown(own.wished) if own.wished else None,
        audit_days=visit.world.settings.audit_days,
        mail_days=visit.world.settings.mail_days,
        is_stale=is_stale,
        is_saved=is_saved,
    )


def _filled(own: own_profile.OwnProfile, name: str, tried: fields.Tried) -> fields.Fields:
    """Give the form of this name: as it was sent if it was this one, else filled with what is stored."""
    if name == tried.name:
        return tried.form
    pairs: dict[str, list[tuple[str, str]]] = {
        "person": [("display_name", own.person.display_name), ("locale", own.person.locale), ("zone", own.person.zone)],
        "address": [],
        "notices": [
            *(("notices", code) for code in own.chosen.notices),
            ("digest_hour", str(own.chosen.digest_hour)),
            ("phone", own.chosen.phone or ""),
            ("shows_phone", "yes" if own.chosen.shows_phone else ""),
        ],
        "languages": [(f"level_{code}", level) for code, level in own.languages.items()],
    }
    return fields.Fields([*pairs[name], ("version", str(own.person.version))])
