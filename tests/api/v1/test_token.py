"""`POST /oauth2/token`: what proves a partner system, what does not, and how that is said (RFC 6749, RFC 7523)."""

import asyncio
import base64
import io
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
import structlog

import build
import keyring
from integrations.runtime import logs
from integrations.runtime.world import World
from service.kernel import actor, clock

Json = dict[str, Any]
FORM = {"grant_type": "client_credentials"}
KEY, OTHER, RSA = keyring.Key(), keyring.Key(), keyring.Key(algorithm="RS384")
SCOPES = ["appointments:read", "memoranda:read"]


class System:
    """A registered system that has a key of two kinds, and one that has a secret."""

    def __init__(self, world: World, client: httpx.AsyncClient) -> None:
        self.world, self.client = world, client

    async def set_up(self) -> "System":
        async with self.world.database.work(actor.TIMER) as w:
            place = await build.partner(w)
            coordinator = await build.coordinator(w, place)
        self.coordinator = await build.bearer(self.world, coordinator)
        wish = {"institution_id": str(place.id), "client_name": "System", "scope": " ".join(SCOPES)}
        signing = {"token_endpoint_auth_method": "private_key_jwt", "jwks": keyring.keyset(KEY, keyring_named("rsa"))}
        self.id = (await self._register(wish | signing))["client_id"]
        self.second = await self._register(wish)
        return self

    async def _register(self, wish: Json) -> Json:
        answer = await self.client.post("/v1/clients", json=wish, headers=self.coordinator)
        assert answer.status_code == 201, answer.text
        found: Json = answer.json()
        return found

    async def ask(self, text: str, **form: str) -> httpx.Response:
        proof = {"client_assertion_type": keyring.ASSERTION_TYPE, "client_assertion": text}
        return await self.client.post("/oauth2/token", data=FORM | proof | form)

    async def ask_by_secret(self, secret: str | None = None, **form: str) -> httpx.Response:
        auth = (self.second["client_id"], secret or self.second["client_secret"])
        return await self.client.post("/oauth2/token", data=FORM | form, auth=auth)


def keyring_named(kid: str) -> keyring.Key:
    RSA.kid = kid
    return RSA


@pytest.fixture
async def system(world: World, client: httpx.AsyncClient) -> System:
    return await System(world, client).set_up()


def refused(answer: httpx.Response, error: str) -> bool:
    """Tell whether it is that error, in its form."""
    is_unknown = error == "invalid_client"
    assert answer.json().keys() == {"error", "error_description"}
    assert ("www-authenticate" in answer.headers) == is_unknown
    assert answer.headers["cache-control"] == "no-store"
    return bool((answer.status_code, answer.json()["error"]) == (401 if is_unknown else 400, error))


@dataclass(frozen=True, slots=True)
class Ahead:
    """So many seconds from when the test runs."""

    seconds: int


WRONG: dict[str, Json] = {
    "of another issuer": {"iss": "somebody"},
    "about another client": {"sub": str(clock.new_id())},
    "without subject": {"sub": None},
    "for another audience": {"aud": "https://elsewhere.example/oauth2/token"},
    "for the endpoint with a slash": {"aud": keyring.AUDIENCE + "/"},
    "for the issuer with a slash": {"aud": "http://127.0.0.1:8000/"},
    "for many": {"aud": [keyring.AUDIENCE, "http://127.0.0.1:8000"]},
    "for us twice": {"aud": [keyring.AUDIENCE, keyring.AUDIENCE]},
    "for a list in a list": {"aud": [[keyring.AUDIENCE]]},
    "for none of a list": {"aud": []},
    "for another of a list": {"aud": ["https://elsewhere.example"]},
    "for a number": {"aud": [1]},
    "for nobody": {"aud": None},
    "without end": {"exp": None},
    "ended": {"exp": Ahead(-1), "iat": Ahead(-200)},
    "for ever": {"exp": Ahead(86_400)},
    "for six minutes": {"exp": Ahead(360)},
    "longer than five minutes": {"iat": Ahead(-250), "exp": Ahead(100)},
    "of the future": {"iat": Ahead(90), "exp": Ahead(240)},
    "not before later": {"nbf": Ahead(90)},
    "ending before it begins": {"iat": Ahead(20), "exp": Ahead(10)},
    "with an end as text": {"exp": "240"},
    "with an end as truth": {"exp": True},
    "without a jti": {"jti": None},
    "with an empty jti": {"jti": ""},
    "with a number as jti": {"jti": 7},
    "with an endless jti": {"jti": "x" * 256},
    "with half a character as jti": {"jti": "\ud800"},
}


@pytest.mark.parametrize("issuer", [keyring.AUDIENCE, "http://127.0.0.1:8000"])
@pytest.mark.parametrize("form", [lambda aud: aud, lambda aud: [aud]], ids=["text", "list"])
async def test_an_assertion_is_for_the_endpoint_or_the_issuer_as_a_text_or_a_list_of_it(
    system: System, issuer: str, form: Callable[[str], object]
) -> None:
    answer = await system.ask(keyring.assertion(KEY, system.id, aud=form(issuer)))
    assert answer.status_code == 200, answer.text


async def test_a_secret_may_stand_in_the_form_and_then_nowhere_else(system: System) -> None:
    proof = {"client_id": system.second["client_id"], "client_secret": system.second["client_secret"]}
    post = system.client.post
    metadata = (await system.client.get("/.well-known/oauth-authorization-server")).json()

    assert (await post("/oauth2/token", data=FORM | proof)).status_code == 200
    assert "client_secret_post" in metadata["token_endpoint_auth_methods_supported"]
    assert refused(await post("/oauth2/token", data=FORM | proof | {"client_secret": "x"}), "invalid_client")
    assert refused(await post("/oauth2/token", data=FORM | {"client_secret": "x"}), "invalid_client")
    assert refused(await system.ask_by_secret(**proof), "invalid_request")
    assert refused(await system.ask(keyring.assertion(KEY, system.id), **proof), "invalid_request")


FAULTS: dict[str, Json] = {
    "audience": {"aud": "https://elsewhere.example/oauth2/token"},
    "client": {"sub": "another"},
    "expired": {"exp": Ahead(-1), "iat": Ahead(-200)},
    "lives_too_long": {"exp": Ahead(360)},
    "not_yet_valid": {"iat": Ahead(90), "exp": Ahead(240)},
    "malformed": {"jti": None},
}


@pytest.mark.parametrize(("fault", "members"), FAULTS.items(), ids=FAULTS.keys())
async def test_who_runs_the_client_reads_why_its_proof_was_refused(system: System, fault: str, members: Json) -> None:
    assert await why(system, system.id) is None
    now = int(time.time())
    said = {name: now + value.seconds if isinstance(value, Ahead) else value for name, value in members.items()}
    answer = await system.ask(keyring.assertion(KEY, system.id, **said))

    assert refused(answer, "invalid_client")
    assert answer.json() == (await system.ask(keyring.assertion(KEY, str(clock.new_id())))).json()  # tells nothing more
    assert await why(system, system.id) == fault


async def test_who_runs_the_client_reads_which_key_or_secret_was_wrong(system: System) -> None:
    text = keyring.assertion(KEY, system.id)
    await system.ask(text)
    await system.ask(text)
    assert await why(system, system.id) == "used_before"
    await system.ask(keyring.assertion(OTHER, system.id))
    assert await why(system, system.id) == "signature"
    await system.ask(KEY.jws(json.dumps(keyring.header(KEY, kid="k9")), json.dumps(keyring.claims(system.id))))
    assert await why(system, system.id) == "unknown_key"
    await system.ask_by_secret("x" * 43)
    assert await why(system, system.second["client_id"]) == "secret"
    await system.client.post("/oauth2/token", data=FORM, auth=(system.id, "x" * 43))
    assert await why(system, system.id) == "other_method"


async def test_a_refusal_is_no_change_of_the_client(system: System) -> None:
    path = f"/v1/clients/{system.second['client_id']}"
    before = (await system.client.get(path, headers=system.coordinator)).headers["etag"]
    await system.ask_by_secret("x" * 43)
    after = await system.client.get(path, headers=system.coordinator)

    assert (after.headers["etag"], after.json()["refused_at"] is None) == (before, False)


async def why(system: System, client_id: str) -> str | None:
    answer = await system.client.get(f"/v1/clients/{client_id}", headers=system.coordinator)
    reason: str | None = answer.json()["refused_for"]
    return reason


@pytest.mark.parametrize("members", WRONG.values(), ids=WRONG.keys())
async def test_an_assertion_that_claims_something_else_is_refused(system: System, members: Json) -> None:
    now = int(time.time())
    said = {name: now + value.seconds if isinstance(value, Ahead) else value for name, value in members.items()}
    assert refused(await system.ask(keyring.assertion(KEY, system.id, **said)), "invalid_client")


@pytest.mark.parametrize(
    "members",
    [
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "ES256"},
        {"alg": "RS384"},
        {"alg": None},
        {"kid": None},
        {"kid": "rsa"},
        {"kid": "k2"},
        {"kid": "../../k1"},
        {"kid": ["k1"]},
        {"typ": "at+jwt"},
        {"typ": ["JWT"]},
        {"crit": ["exp"]},
        {"crit": []},
    ],
    ids=str,
)
async def test_an_assertion_with_another_header_is_refused(system: System, members: Json) -> None:
    text = KEY.jws(json.dumps(keyring.header(KEY, **members)), json.dumps(keyring.claims(system.id)))
    assert refused(await system.ask(text), "invalid_client")


@pytest.mark.parametrize("typ", [None, "JWT", "client-authentication+jwt"])
async def test_an_assertion_may_name_its_type(system: System, typ: str | None) -> None:
    text = KEY.jws(json.dumps(keyring.header(KEY, typ=typ)), json.dumps(keyring.claims(system.id, iat=None)))
    assert (await system.ask(text)).status_code == 200


SPOILT: dict[str, Callable[[str], str]] = {
    "one flipped bit of the signature": lambda text: text[:-20] + ("A" if text[-20] != "A" else "B") + text[-19:],
    "no signature": lambda text: text.rsplit(".", 1)[0] + ".",
    "a padded signature": lambda text: text + "=",
    "another segment": lambda text: text + ".",
    "one segment": lambda text: text.split(".", maxsplit=1)[0],
    "nothing": lambda _: "..",
    "too much": lambda text: text + "A" * 9_000,
    "no ASCII": lambda text: "é" + text,
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT.keys())
async def test_an_assertion_that_was_tampered_with_is_refused(system: System, spoil: Callable[[str], str]) -> None:
    assert refused(await system.ask(spoil(keyring.assertion(KEY, system.id))), "invalid_client")


@pytest.mark.parametrize(
    "payload",
    [
        lambda claims: json.dumps(claims)[:-1] + ', "sub": "somebody"}',
        lambda claims: json.dumps(claims)[:-1] + ', "deep": ' + "[" * 2000 + "]" * 2000 + "}",
        lambda claims: json.dumps(claims | {"exp": 0}).replace('"exp": 0', '"exp": Infinity'),
        lambda claims: json.dumps([claims]),
        lambda _: "{",
    ],
    ids=["twin", "deep", "infinity", "list", "open"],
)
async def test_an_assertion_that_is_no_plain_object_is_refused(system: System, payload: Callable[[Json], str]) -> None:
    text = KEY.jws(json.dumps(keyring.header(KEY)), payload(keyring.claims(system.id)))
    assert refused(await system.ask(text), "invalid_client")


async def test_a_key_of_the_same_name_that_is_not_registered_proves_nothing(system: System) -> None:
    assert refused(await system.ask(keyring.assertion(OTHER, system.id)), "invalid_client")


async def test_an_assertion_of_one_client_does_not_prove_another(system: System) -> None:
    text = keyring.assertion(KEY, system.id)
    assert refused(await system.ask(text, client_id=system.second["client_id"]), "invalid_client")
    assert refused(await system.ask(keyring.assertion(KEY, system.second["client_id"])), "invalid_client")


async def test_an_assertion_works_once(system: System) -> None:
    text = keyring.assertion(KEY, system.id)
    assert (await system.ask(text)).status_code == 200
    assert refused(await system.ask(text), "invalid_client")


async def test_an_access_token_is_no_assertion(system: System) -> None:
    token = (await system.ask_by_secret()).json()["access_token"]
    assert refused(await system.ask(token), "invalid_client")


@pytest.mark.races
@pytest.mark.slow
async def test_of_a_hundred_with_the_same_jti_one_gets_a_token(system: System) -> None:
    text = keyring.assertion(KEY, system.id)
    answers = await asyncio.gather(*(system.ask(text) for _ in range(100)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 99


async def test_a_token_is_never_wider_than_what_is_registered(system: System) -> None:
    assert refused(await system.ask_by_secret(scope="appointments:read reports:read"), "invalid_scope")
    assert refused(await system.ask_by_secret(scope="everything"), "invalid_scope")
    narrow = await system.ask_by_secret(scope="memoranda:read")
    assert narrow.json()["scope"] == "memoranda:read"
    headers = {"Authorization": f"Bearer {narrow.json()['access_token']}"}
    assert (await system.client.get("/v1/memoranda", headers=headers)).status_code == 200
    denied = await system.client.get("/v1/appointments", headers=headers)
    assert (denied.status_code, denied.json()["type"]) == (403, "/problems/insufficient-scope")
    assert denied.headers["www-authenticate"] == (
        'Bearer realm="pobratym", error="insufficient_scope", '
        'error_description="The access token is not good for this call", scope="appointments:read"'
    )


async def test_an_answer_that_was_stored_is_not_repeated_to_a_token_without_the_scope(system: System) -> None:
    async with system.world.database.work(actor.TIMER) as w:
        known = await build.system(w, await build.partner(w))
    body = {
        "email": "mentor@systems.example",
        "display_name": "Mentor",
        "zone": "Europe/Paris",
        "roles": [{"role": "mentor", "institution_id": str(known.institution_id)}],
    }
    statuses = []
    for scopes in (None, ["reports:read"]):
        headers = await build.bearer(system.world, known, scopes) | {"Idempotency-Key": "one"}
        statuses.append((await system.client.post("/v1/people", json=body, headers=headers)).status_code)
    assert statuses == [201, 403]


@pytest.mark.parametrize("secret", ["", "wrong", "x" * 5000, "%00"])
async def test_a_wrong_secret_is_refused(system: System, secret: str) -> None:
    auth = (system.second["client_id"], secret)
    answer = await system.client.post("/oauth2/token", data=FORM, auth=auth)
    assert refused(answer, "invalid_client")


async def test_a_secret_of_one_client_does_not_prove_another(system: System) -> None:
    auth = (system.id, system.second["client_secret"])
    assert refused(await system.client.post("/oauth2/token", data=FORM, auth=auth), "invalid_client")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("", "invalid_request"),
        ("scope=a", "invalid_request"),
        ("grant_type=client_credentials&grant_type=client_credentials", "invalid_request"),
        ("grant_type=client_credentials&client_assertion=x", "invalid_request"),
        ("grant_type=client_credentials&client_assertion_type=x&client_assertion=y", "invalid_request"),
        ("grant_type=password&username=a&password=b", "unsupported_grant_type"),
        ("grant_type=client_credentials", "invalid_client"),
        ("grant_type=client_credentials&client_id=x&client_secret=y", "invalid_client"),
        ("%ff=%ff", "invalid_request"),
        ("a" * 20_000, "invalid_request"),
        ("&".join(f"n{number}=1" for number in range(30)), "invalid_request"),
    ],
)
async def test_a_form_that_is_wrong_is_answered_in_its_own_words(
    client: httpx.AsyncClient, body: str, error: str
) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert refused(await client.post("/oauth2/token", content=body, headers=headers), error)


async def test_two_proofs_at_once_are_refused(system: System) -> None:
    proof = {"client_assertion_type": keyring.ASSERTION_TYPE, "client_assertion": keyring.assertion(KEY, system.id)}
    auth = (system.second["client_id"], system.second["client_secret"])
    assert refused(await system.client.post("/oauth2/token", data=FORM | proof, auth=auth), "invalid_request")


@pytest.mark.parametrize("given", ["Basic", "Basic ####", "Basic " + base64.b64encode(b"nocolon").decode(), "Digest x"])
async def test_a_header_that_proves_nothing_is_refused(client: httpx.AsyncClient, given: str) -> None:
    answer = await client.post("/oauth2/token", data=FORM, headers={"Authorization": given})
    assert refused(answer, "invalid_client")


async def test_json_is_no_form(client: httpx.AsyncClient) -> None:
    assert refused(await client.post("/oauth2/token", json=FORM), "invalid_request")


async def test_the_metadata_says_where_and_how(client: httpx.AsyncClient) -> None:
    told = (await client.get("/.well-known/oauth-authorization-server")).json()
    assert told["token_endpoint"] == keyring.AUDIENCE
    methods = ["client_secret_basic", "client_secret_post", "private_key_jwt"]
    assert told["token_endpoint_auth_methods_supported"] == methods
    assert set(told["token_endpoint_auth_signing_alg_values_supported"]) == {"ES256", "ES384", "RS256", "RS384"}
    assert (await client.get(told["jwks_uri"].removeprefix(told["issuer"]))).status_code == 200


async def test_the_audit_names_the_system_and_each_token(world: World, system: System) -> None:
    await system.ask_by_secret()
    async with world.database.work(actor.TIMER) as w:
        rows = await w.sql(sa.text("SELECT actor_kind, person_id, details FROM audit WHERE action = 'token_issued'"))
        assert [(row.actor_kind, str(row.person_id), row.details) for row in rows] == [
            ("system", system.second["client_id"], {"scopes": SCOPES})
        ]


async def test_no_log_line_holds_a_secret_an_assertion_or_a_token(system: System) -> None:
    root, stream = logging.getLogger(), io.StringIO()
    before, level = root.handlers, root.level
    logs.configure("debug", stream)
    text = keyring.assertion(KEY, system.id)
    answers = [await system.ask(text), await system.ask(text), await system.ask_by_secret()]
    await system.ask_by_secret("a secret that is wrong")
    root.handlers = before
    root.setLevel(level)
    structlog.reset_defaults()
    logs.configure("critical")
    words = [text, system.second["client_secret"], "wrong", *(a.json().get("access_token", text) for a in answers)]
    assert "/oauth2/token" in stream.getvalue()
    assert [word for word in words if word in stream.getvalue()] == []


async def test_the_ten_lines_of_the_page_get_a_token(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 - here only
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    page = (Path(__file__).parents[3] / "docs" / "partners.md").read_text()
    lines: Json = {}
    exec(page.split("`system_token.py`:\n\n```python\n")[1].split("```")[0], lines)
    asked: list[Any] = []

    class Answer(Exception):
        pass

    def post(url: str, data: Json) -> None:
        asked.append((url, data))
        raise Answer

    monkeypatch.setattr(httpx, "post", post)
    pem = KEY.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with pytest.raises(Answer):
        lines["token"]("http://127.0.0.1:8000", system.id, "k1", pem, "memoranda:read")
    url, form = asked[0]
    answer = await system.client.post(url.removeprefix("http://127.0.0.1:8000"), data=form)
    assert answer.json()["scope"] == "memoranda:read"
