"""Partner systems are registered by people of their institution, rotate their secrets, and end at once."""

import base64
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

import build
import keyring
from integrations.runtime.world import World
from service import tables
from service.kernel import actor
from service.vocabulary import SCOPES
from world import TestClock

Json = dict[str, Any]
EVERYTHING = " ".join(sorted(SCOPES))
FORM = {"grant_type": "client_credentials"}


class Hospital:
    """A hospital with its coordinator, and their headers."""

    def __init__(self, world: World, client: httpx.AsyncClient) -> None:
        self.world, self.client = world, client

    async def set_up(self) -> "Hospital":
        async with self.world.database.work(actor.TIMER) as w:
            self.institution = await build.partner(w)
            self.coordinator = await build.coordinator(w, self.institution)
        self.bearer = await build.bearer(self.world, self.coordinator)
        return self

    def wish(self, **members: object) -> Json:
        return {
            "institution_id": str(self.institution.id),
            "client_name": "Hospital system",
            "scope": EVERYTHING,
        } | members

    async def register(self, **members: object) -> Json:
        answer = await self.client.post("/v1/clients", json=self.wish(**members), headers=self.bearer)
        assert answer.status_code == 201, answer.text
        found: Json = answer.json()
        return found

    async def registered(self, key: keyring.Key, **members: object) -> Json:
        keys = {"jwks": keyring.keyset(key)} if "jwks_uri" not in members else {}
        return await self.register(token_endpoint_auth_method="private_key_jwt", **keys, **members)

    async def token(self, known: Json, secret: str | None = None, **form: str) -> httpx.Response:
        return await self.client.post(
            "/oauth2/token", data=FORM | form, auth=(known["client_id"], secret or known["client_secret"])
        )

    async def asserted(self, text: str, **form: str) -> httpx.Response:
        proof = {"client_assertion_type": keyring.ASSERTION_TYPE, "client_assertion": text}
        return await self.client.post("/oauth2/token", data=FORM | proof | form)


@pytest.fixture
async def hospital(world: World, client: httpx.AsyncClient) -> Hospital:
    return await Hospital(world, client).set_up()


async def me(client: httpx.AsyncClient, token: httpx.Response) -> httpx.Response:
    return await client.get("/v1/me", headers={"Authorization": f"Bearer {token.json()['access_token']}"})


async def test_a_system_gets_a_token_for_its_secret_and_is_known_by_it(hospital: Hospital) -> None:
    known = await hospital.register()
    answer = await hospital.token(known)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() | {"access_token": ""} == {
        "access_token": "",
        "token_type": "Bearer",
        "expires_in": 900,
        "scope": EVERYTHING,
    }
    it = (await me(hospital.client, answer)).json()
    assert (it["person_id"], it["email"]) == (known["client_id"], f"{known['client_id']}@systems.invalid")
    assert it["roles"] == [
        {
            "role": "partner_system",
            "institution_id": str(hospital.institution.id),
            "programme_id": None,
            "department": None,
        }
    ]


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "RS256", "RS384"])
async def test_a_system_gets_a_token_for_an_assertion_signed_with_its_key(hospital: Hospital, algorithm: str) -> None:
    key = keyring.Key(algorithm=algorithm)
    known = await hospital.registered(key)
    assert known["client_secret"] is None
    answer = await hospital.asserted(keyring.assertion(key, known["client_id"]))
    assert answer.status_code == 200, answer.text
    assert (await me(hospital.client, answer)).status_code == 200


async def test_a_secret_is_shown_once_and_null_when_the_answer_is_repeated(hospital: Hospital) -> None:
    headers = hospital.bearer | {"Idempotency-Key": "once"}
    first = await hospital.client.post("/v1/clients", json=hospital.wish(), headers=headers)
    again = await hospital.client.post("/v1/clients", json=hospital.wish(), headers=headers)
    assert len(base64.urlsafe_b64decode(first.json()["client_secret"] + "=")) == 32
    assert again.json() == first.json() | {"client_secret": None}
    read = await hospital.client.get(first.headers["location"], headers=hospital.bearer)
    assert "client_secret" not in read.json()


async def test_a_rotated_secret_goes_on_for_the_overlap_and_no_longer(
    hospital: Hospital, test_clock: TestClock
) -> None:
    known = await hospital.register()
    path = f"/v1/clients/{known['client_id']}/rotate-secret"
    rotated = (await hospital.client.post(path, json={"overlap_hours": 24}, headers=hospital.bearer)).json()
    test_clock.forward(hours=23, minutes=59)
    assert (await hospital.token(known)).status_code == 200
    test_clock.forward(minutes=1)
    assert (await hospital.token(known)).status_code == 401
    assert (await hospital.token(rotated)).status_code == 200


async def test_a_second_rotation_lengthens_nothing(hospital: Hospital, test_clock: TestClock) -> None:
    known = await hospital.register()
    path = f"/v1/clients/{known['client_id']}/rotate-secret"
    await hospital.client.post(path, json={"overlap_hours": 1}, headers=hospital.bearer)
    await hospital.client.post(path, json={"overlap_hours": 168}, headers=hospital.bearer)
    test_clock.forward(hours=1)
    assert (await hospital.token(known)).status_code == 401


async def test_a_rotation_without_overlap_ends_the_old_secret_now(hospital: Hospital) -> None:
    known = await hospital.register()
    path = f"/v1/clients/{known['client_id']}/rotate-secret"
    await hospital.client.post(path, json={"overlap_hours": 0}, headers=hospital.bearer)
    assert (await hospital.token(known)).status_code == 401


async def test_at_most_ten_old_secrets_go_on_and_all_of_them_can_be_ended(
    hospital: Hospital, test_clock: TestClock
) -> None:
    known = await hospital.register()
    path = f"/v1/clients/{known['client_id']}/rotate-secret"

    async def rotate(hours: int) -> httpx.Response:
        bearer = await build.bearer(hospital.world, hospital.coordinator)
        return await hospital.client.post(path, json={"overlap_hours": hours}, headers=bearer)

    assert [(await rotate(24)).status_code for _ in range(10)] == [200] * 10
    refused = await rotate(24)
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/conflict")
    assert (await hospital.token(known)).status_code == 200
    test_clock.forward(hours=24)
    assert len((await rotate(24)).json()["secrets"]) == 2
    for _ in range(9):
        await rotate(24)
    assert len((await rotate(0)).json()["secrets"]) == 1


async def test_a_client_with_keys_has_no_secret_to_rotate(hospital: Hospital) -> None:
    known = await hospital.registered(keyring.Key())
    path = f"/v1/clients/{known['client_id']}/rotate-secret"
    answer = await hospital.client.post(path, json={}, headers=hospital.bearer)
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/conflict")


async def test_a_revoked_client_is_nobody_from_the_next_request_on(hospital: Hospital) -> None:
    known = await hospital.register()
    token = await hospital.token(known)
    for _ in range(2):  # twice is once
        gone = await hospital.client.delete(f"/v1/clients/{known['client_id']}", headers=hospital.bearer)
        assert gone.status_code == 204
    assert (await me(hospital.client, token)).status_code == 401
    assert (await hospital.token(known)).json()["error"] == "invalid_client"
    read = await hospital.client.get(f"/v1/clients/{known['client_id']}", headers=hospital.bearer)
    assert (read.json()["revoked_at"], read.json()["secrets"]) == ("2026-11-16T08:00:00Z", [])


async def test_a_revoked_client_is_changed_no_more(hospital: Hospital) -> None:
    known = await hospital.register()
    path = f"/v1/clients/{known['client_id']}"
    await hospital.client.delete(path, headers=hospital.bearer)
    headers = hospital.bearer | {"If-Match": "*"}
    assert (await hospital.client.patch(path, json={"client_name": "x"}, headers=headers)).status_code == 409
    assert (await hospital.client.post(f"{path}/rotate-secret", json={}, headers=hospital.bearer)).status_code == 409


async def test_a_scope_that_is_taken_away_is_gone_from_tokens_that_live(hospital: Hospital) -> None:
    known = await hospital.register(scope="memoranda:read reports:read")
    token = (await hospital.token(known)).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert (await hospital.client.get("/v1/memoranda", headers=headers)).status_code == 200
    path = f"/v1/clients/{known['client_id']}"
    read = await hospital.client.get(path, headers=hospital.bearer)
    change = hospital.bearer | {"If-Match": read.headers["etag"]}
    narrower = await hospital.client.patch(path, json={"scope": "reports:read"}, headers=change)
    assert (narrower.status_code, narrower.json()["scope"]) == (200, "reports:read")
    refused = await hospital.client.get("/v1/memoranda", headers=headers)
    assert (refused.status_code, refused.json()["scope"]) == (403, "memoranda:read")
    stale = await hospital.client.patch(path, json={"scope": EVERYTHING}, headers=change)
    assert stale.status_code == 412


async def test_a_scope_that_is_added_needs_a_new_token(hospital: Hospital) -> None:
    known = await hospital.register(scope="reports:read")
    headers = {"Authorization": f"Bearer {(await hospital.token(known)).json()['access_token']}"}
    change = hospital.bearer | {"If-Match": "*"}
    await hospital.client.patch(f"/v1/clients/{known['client_id']}", json={"scope": EVERYTHING}, headers=change)
    assert (await hospital.client.get("/v1/memoranda", headers=headers)).status_code == 403


async def test_a_new_name_is_shown_wherever_the_system_is_named(hospital: Hospital) -> None:
    known = await hospital.register()
    path, change = f"/v1/clients/{known['client_id']}", hospital.bearer | {"If-Match": "*"}
    await hospital.client.patch(path, json={"client_name": "Another"}, headers=change)
    assert (await me(hospital.client, await hospital.token(known))).json()["display_name"] == "Another"


async def test_new_keys_take_the_place_of_the_old_ones(hospital: Hospital) -> None:
    old, new = keyring.Key("old"), keyring.Key("new")
    known = await hospital.registered(old)
    change = hospital.bearer | {"If-Match": "*"}
    body = {"jwks": keyring.keyset(new)}
    answer = await hospital.client.patch(f"/v1/clients/{known['client_id']}", json=body, headers=change)
    assert answer.json()["jwks"] == {"keys": [new.jwk]}
    assert (await hospital.asserted(keyring.assertion(old, known["client_id"]))).status_code == 401
    assert (await hospital.asserted(keyring.assertion(new, known["client_id"]))).status_code == 200


async def test_what_was_used_when_is_seen(hospital: Hospital, test_clock: TestClock) -> None:
    known = await hospital.register()
    path = f"/v1/clients/{known['client_id']}"
    assert (known["last_used_at"], known["secrets"][0]["last_used_at"]) == (None, None)
    test_clock.forward(minutes=5)
    await hospital.token(known)
    read = (await hospital.client.get(path, headers=hospital.bearer)).json()
    assert (read["last_used_at"], read["secrets"][0]["last_used_at"]) == ("2026-11-16T08:05:00Z",) * 2
    test_clock.forward(minutes=5)
    await hospital.token(known, "wrong")
    refusal = {"refused_at": "2026-11-16T08:10:00Z", "refused_for": "secret"}
    assert (await hospital.client.get(path, headers=hospital.bearer)).json() == read | refusal


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"scope": "appointments:read everything"}, "/scope"),
        ({"scope": ""}, "/scope"),
        ({"scope": "a  b"}, "/scope"),
        ({"token_endpoint_auth_method": "none"}, "/token_endpoint_auth_method"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "/jwks"),
        ({"jwks": keyring.keyset(keyring.Key())}, "/jwks"),
        ({"jwks_uri": "https://keys.example/jwks.json"}, "/jwks_uri"),
        ({"institution_id": "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11"}, None),
    ],
)
async def test_a_registration_that_is_wrong_is_refused(hospital: Hospital, members: Json, pointer: str | None) -> None:
    answer = await hospital.client.post("/v1/clients", json=hospital.wish(**members), headers=hospital.bearer)
    if pointer is None:  # an institution that is not theirs, or that nobody has
        assert answer.status_code == 403
        return
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


INSIDE = ("https://xn--/", "https://xn--a.example.com/", "https://127.0.0.1/jwks.json", "http://keys.example/jwks.json")


@pytest.mark.parametrize("uri", INSIDE)
async def test_a_key_set_s_address_is_https_outside_when_registered_and_when_changed(
    hospital: Hospital, uri: str
) -> None:
    wish = hospital.wish(token_endpoint_auth_method="private_key_jwt", jwks_uri=uri)
    known = await hospital.registered(keyring.Key(), jwks_uri="https://keys.example/jwks.json")
    answers = [
        await hospital.client.post("/v1/clients", json=wish, headers=hospital.bearer),
        await hospital.client.patch(
            f"/v1/clients/{known['client_id']}", json={"jwks_uri": uri}, headers=hospital.bearer | {"If-Match": "*"}
        ),
    ]
    told = [(each.status_code, [fault["pointer"] for fault in each.json()["errors"]]) for each in answers]
    assert told == [(422, ["/jwks_uri"])] * 2


async def test_an_admin_registers_for_any_institution_that_exists(world: World, hospital: Hospital) -> None:
    async with world.database.work(actor.TIMER) as w:
        admin = await build.bearer(world, await build.admin(w))
    body = hospital.wish()
    assert (await hospital.client.post("/v1/clients", json=body, headers=admin)).status_code == 201
    body["institution_id"] = "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11"
    answer = await hospital.client.post("/v1/clients", json=body, headers=admin)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/institution_id")


async def test_a_list_holds_the_own_institutions_systems(world: World, hospital: Hospital) -> None:
    known = await hospital.register()
    async with world.database.work(actor.TIMER) as w:
        await build.system(w, await build.partner(w))
    listed = (await hospital.client.get("/v1/clients", headers=hospital.bearer)).json()
    assert [each["client_id"] for each in listed["items"]] == [known["client_id"]]


async def test_no_row_holds_a_secret_or_what_proves_one(world: World, hospital: Hospital) -> None:
    headers = hospital.bearer | {"Idempotency-Key": "kept"}
    known = (await hospital.client.post("/v1/clients", json=hospital.wish(), headers=headers)).json()
    token = await hospital.token(known)
    words = [known["client_secret"], token.json()["access_token"].rsplit(".", 1)[1]]
    async with world.database.work(actor.TIMER) as w:
        names = (await w.sql(sa.text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))).scalars().all()
        kept = "".join([str((await w.sql(sa.text(f'SELECT * FROM "{name}"'))).all()) for name in names])
    assert "client_secret_basic" in kept
    assert [word for word in words if word in kept or word.encode().hex() in kept] == []


async def test_the_people_who_stand_for_systems_are_not_among_people(world: World, hospital: Hospital) -> None:
    known = await hospital.register()
    async with world.database.work(actor.TIMER) as w:
        admin = await build.bearer(world, await build.admin(w))
    for headers in (hospital.bearer, admin):
        listed = (await hospital.client.get("/v1/people", headers=headers)).json()["items"]
        assert known["client_id"] not in {each["id"] for each in listed}
        assert (await hospital.client.get(f"/v1/people/{known['client_id']}", headers=headers)).status_code == 404


async def test_a_system_is_never_mailed_a_link_and_no_operator_acts_as_it(world: World, hospital: Hospital) -> None:
    known = await hospital.register()
    address = f"{known['client_id']}@systems.invalid"
    answer = await hospital.client.post("/v1/auth/sign-in-links", json={"email": address})
    assert answer.status_code == 202
    async with world.database.work(actor.TIMER) as w:
        assert (await w.sql(sa.select(sa.func.count()).select_from(tables.Link))).scalar_one() == 0
        with pytest.raises(Exception, match="no such thing"):
            await world.tokens.for_email(w, address)


async def test_nobody_is_given_the_role_of_a_system(hospital: Hospital) -> None:
    body = {
        "email": "somebody@hospital.example",
        "display_name": "Somebody",
        "zone": "Europe/Paris",
        "roles": [{"role": "partner_system", "institution_id": str(hospital.institution.id)}],
    }
    answer = await hospital.client.post("/v1/people", json=body, headers=hospital.bearer)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/roles/0/role")
