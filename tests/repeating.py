"""One story that calls every POST route with a key, twice, and writes a word of its own into every text."""

# ruff: noqa: ANN401 - bodies and answers are JSON

import dataclasses
import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import field
from datetime import timedelta
from typing import Any

import httpx

import flow
from api.edge import push_receivers

SECRETS = {"secret", "client_secret"}
OF_THE_REGISTRY = ("membernote", "clientname", "memorandumnote")
"""What is written about institutions, and stays when its writer is erased."""
PUBLIC = ("/v1/institutions", "/v1/programmes", "/v1/specialties")
"""What everybody who is signed in reads, whatever their role."""
OWN = ("/v1/me/", "/v1/offers", "/v1/appointments", "/v1/sessions")
"""What somebody took part in is theirs to see for life, without the texts."""


def canary(name: str) -> str:
    return f"canary{name}zebra"


@dataclasses.dataclass(frozen=True)
class Told:
    """A call that was answered with success, and its answer."""

    who: str
    path: str
    body: Any
    key: str
    answer: httpx.Response

    @property
    def shown(self) -> Any:
        return self.answer.json() if self.answer.content else None


@dataclasses.dataclass
class Repeating(flow.Scene):
    """A scene in which every POST has a key and is sent twice."""

    told: list[Told] = field(default_factory=list)
    numbers: Any = field(default_factory=itertools.count)
    written: list[str] = field(default_factory=list)

    def text(self, name: str) -> str:
        """Give a text that stands nowhere else."""
        self.written.append(canary(f"{name}{next(self.numbers)}"))
        return self.written[-1]

    def texts(self) -> dict[str, Any]:
        """Give what a clinician writes into a request."""
        return {"question": self.text("question"), "department": self.text("department"), "tags": [self.text("tag")]}

    async def call(
        self,
        who: str,
        method: str,
        path: str,
        body: Any = None,
        *,
        status: int | None = None,
        headers: Mapping[str, str] = {},
    ) -> httpx.Response:
        if method != "POST":
            return await super().call(who, method, path, body, status=status, headers=headers)
        key = f"key-{next(self.numbers)}"
        answer = await super().call(who, method, path, body, status=status, headers={"Idempotency-Key": key})
        if answer.is_success:
            call = Told(who, path, body, key, answer)
            self.told.append(call)
            again = await self.again(call)
            assert again.headers["idempotency-replayed"] == "true", (path, again.text)
            assert again.status_code == answer.status_code
            assert again.headers.get("location") == answer.headers.get("location")
            if not path.endswith("/assign"):
                hidden = dict.fromkeys(SECRETS & call.shown.keys())
                assert again.json() == call.shown | hidden, path
        return answer

    async def again(self, call: Told) -> httpx.Response:
        return await super().call(call.who, "POST", call.path, call.body, headers={"Idempotency-Key": call.key})

    async def the_registry(self) -> None:
        """Make one of everything that an admin or a coordinator makes."""
        made = await self.post("admin", "/v1/programmes", _PROGRAMME, 201)
        await self.post("admin", "/v1/specialties", {"code": "burns", "parent": None, "name_en": "Burns",
                                                     "name_uk": "Опіки", "is_bookable": True}, 201)  # fmt: skip
        network = await self.post("admin", "/v1/institutions", {"kind": "network", "name": "Network"}, 201)
        hospital = {
            "kind": "hospital",
            "name": "Member",
            "aliases": ["First", "Second"],
            "note": self.text("membernote"),
        }
        member = await self.post("admin", "/v1/institutions", hospital, 201)
        path = f"/v1/institutions/{member['id']}/memberships"
        joined = await self.post("admin", path, {"network_id": network["id"], "from": "2026-01-01"}, 201)
        await self.post("admin", f"{path}/{joined['id']}/end", {"until": "2027-01-01"})
        doctor = {"email": "canary.doctor@zebra.example", "display_name": self.text("personname"), "locale": "uk",
                  "zone": "Europe/Kyiv", "roles": [{"role": "mentor", "institution_id": str(self.lille.id)}],
                  }  # fmt: skip
        person = await self.post("partner", "/v1/people", doctor, 201)
        await self.post("partner", f"/v1/people/{person['id']}/verification", {"until": "2027-06-30"})
        another = {"email": "canary.doctor@zebra2.example"}
        await self.call(
            "partner", "PATCH", f"/v1/people/{person['id']}", another, status=200, headers={"If-Match": "*"}
        )
        await self.post("admin", f"/v1/people/{person['id']}/address-confirmation")
        agreed = await self.post("admin", "/v1/memoranda", self._memorandum(), 201)
        await self.post("admin", f"/v1/memoranda/{agreed['id']}/transitions", {"to": "signed", "on": "2026-01-01"})
        done = {"kind": "education", "on": "2026-10-02", "note": self.text("activitynote")}
        first = await self.post("coordinator", f"/v1/memoranda/{self.memorandum.id}/activities", done, 201)
        await self.post("admin", f"/v1/programmes/{made['id']}/activities", done, 201)
        tried = {"policy": {"hold_minutes": 20}, "from": "2026-10-01T00:00:00Z", "until": "2026-11-01T00:00:00Z"}
        await self.post("admin", f"/v1/programmes/{made['id']}/rehearsals", tried, 202)
        await self.post("coordinator", f"/v1/activities/{first['id']}/corrections", done | {"on": "2026-10-03"}, 201)

    async def the_files(self) -> None:
        """Send a file, and have it loaded."""
        form = {"data": {"kind": "people"}, "files": {"file": ("x.csv", self.text("file").encode())}}
        sent = await self.post("partner", "/v1/imports", form, 202)
        await self.rows("UPDATE import_file SET state = 'checked' RETURNING 1")
        await self.post("partner", f"/v1/imports/{sent['id']}/load", {}, 202)

    def _memorandum(self) -> dict[str, Any]:
        return {
            "programme_id": str(self.programme.id),
            "kind": "bilateral",
            "parties": [
                {"institution_id": str(self.asking.id), "side": "requesting"},
                {"institution_id": str(self.lille.id), "side": "partner"},
            ],
            "signed": {"date": "2026-01-01", "precision": "on"},
            "valid_from": "2026-01-01",
            "note": self.text("memorandumnote"),
        }

    async def the_systems(self) -> None:
        """Make a partner system and a webhook endpoint, and do all that there is to do with them."""
        wish = {"institution_id": str(self.lille.id), "client_name": self.text("clientname"), "scope": "events:read"}
        made = await self.post("partner", "/v1/clients", wish, 201)
        await self.post("partner", f"/v1/clients/{made['client_id']}/rotate-secret", {"overlap_hours": 1})
        keys = {"p256dh": push_receivers.EXAMPLE_POINT, "auth": "BTBZMqHH6r4Tts7J_aSIgg"}
        device = {"endpoint": "https://push.example/device", "keys": keys}
        await self.post("mentor", "/v1/me/push-subscriptions", device, 201)
        at = {"url": "https://receiver.example/hook", "types": ["appointment.booked"], "signature": "v1a"}
        hook = await self.post("partner", "/v1/webhook-endpoints", at, 201)
        path = f"/v1/webhook-endpoints/{hook['id']}"
        await self.post("partner", f"{path}/rotate-secret", {"overlap_hours": 2})
        tested = await self.post("partner", f"{path}/test", status=202)
        await self.rows("UPDATE delivery SET state = 'dead', next_attempt_at = NULL WHERE endpoint_id = :id",
                        id=hook["id"])  # fmt: skip
        await self.post("partner", f"/v1/webhook-endpoints/deliveries/{tested['id']}/resend", status=202)
        since = flow.instant(self.clock.now() - timedelta(days=1))
        await self.post("partner", f"{path}/recover", {"since": since}, 202)

    async def the_cases(self) -> None:
        """Walk the flow, so that every step of it is taken."""
        asked = await self.request(consent=None, **self.texts())
        await self.post("clinician", f"/v1/consultations/{asked}/consent", flow.given_today(self))
        change = {"kind": "language", "code": "fr"}
        await self.post("clinician", f"/v1/consultations/{asked}/widen", {"changes": [change]}, 200)
        mine = await self.offer()
        await self.post("mentor", f"/v1/offers/{mine['id']}/show")
        await self.post(
            "mentor", f"/v1/offers/{mine['id']}/decline", {"reason": "busy", "note": self.text("declinenote")}
        )
        theirs = await self.offer("rival")
        later = flow.instant(flow.read_instant(theirs["starts"][0]) + timedelta(minutes=30))
        await self.post("rival", f"/v1/offers/{theirs['id']}/counter", {"starts": [later]})
        await self.post("clinician", f"/v1/offers/{theirs['id']}/counter/decline")
        await self.post("rival", f"/v1/offers/{theirs['id']}/counter", {"starts": [later]})
        booked = await self.post("clinician", f"/v1/offers/{theirs['id']}/counter/accept", {"starts_at": later})
        moved = {"starts_at": await self.later_start(booked, 60)}
        await self.post("clinician", f"/v1/appointments/{booked['id']}/reschedule", moved)
        note = {"reason": "illness", "note": self.text("callednote")}
        await self.post("clinician", f"/v1/appointments/{booked['id']}/cancel", note)
        asked = await self.request(**self.texts())
        colleague = {"clinician_id": str(self.people["colleague"].id)}
        await self.post("coordinator", f"/v1/consultations/{asked}/assign", colleague)
        await self.post("coordinator", f"/v1/consultations/{asked}/cancel",
                        {"reason": "other", "note": self.text("cancelnote")})  # fmt: skip
        await self.advice()
        await self._by_hand()
        await self._session()
        missed = await self.booked(**self.texts())
        self.clock.set(flow.read_instant(missed["starts_at"]) + timedelta(minutes=20))
        await self.post("clinician", f"/v1/appointments/{missed['id']}/no-show", {"who": "mentor"})

    async def advice(self) -> None:
        asked = await self.request(mode="written", **self.texts())
        mine = await self.offer()
        await self.post("mentor", f"/v1/offers/{mine['id']}/accept", {})
        await self.post(
            "mentor", f"/v1/consultations/{asked}/advice", {"text": self.text("advice"), "minutes": 20}, 201
        )

    async def _by_hand(self) -> None:
        await flow.nobody(self)
        asked = await self.request(**self.texts())
        await self.rows("UPDATE mentor_profile SET verified_until = '2030-01-01' RETURNING 1")
        chosen = {"mentor_id": str(self.people["mentor"].id)}
        offered = await self.post("coordinator", f"/v1/consultations/{asked}/offers", chosen, 201)
        held = chosen | {"starts_at": offered["starts"][0]}
        await self.post("coordinator", f"/v1/consultations/{asked}/holds", held, 201)
        await self.post("clinician", f"/v1/consultations/{asked}/cancel", {"reason": "other"})

    async def _session(self) -> None:
        booked = await self.booked(**self.texts())
        self.clock.set(flow.read_instant(booked["ends_at"]))
        happened = flow.happened(booked) | {"conclusion": self.text("conclusion")}
        logged = await self.post("mentor", f"/v1/appointments/{booked['id']}/session", happened, 201)
        told = {"is_useful": True, "note": self.text("feedback")}
        await self.post("clinician", f"/v1/sessions/{logged['id']}/feedback", told, 201)
        await self.post("mentor", f"/v1/sessions/{logged['id']}/corrections", happened, 201)

    async def stored(self) -> str:
        """Give every stored answer, opened."""
        rows = await self.rows("SELECT id, headers, body FROM idempotency_key")
        return "\n".join(json.dumps(row.headers) + self.world.keys.decrypt(row.body, row.id) for row in rows)


_PROGRAMME = {"code": "other", "name": "Інша", "name_en": "Other", "country": "UA", "zone": "Europe/Kyiv"}


async def the_story(scene: Repeating) -> None:
    await scene.the_registry()
    await scene.the_files()
    await scene.the_systems()
    await scene.the_cases()


def found(text: str) -> list[str]:
    """Name the canaries that stand in the text."""
    return sorted(set(re.findall(r"canary[-.]?\w+", text)))
