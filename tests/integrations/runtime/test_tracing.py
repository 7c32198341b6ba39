"""What an operator's collector of traces is sent: one trace from a request to what it brought about, and no secret."""

import base64
import dataclasses
import subprocess
import sys
from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from pydantic import SecretStr

import flow
import otlp
import postoffice
import receiver
from integrations.mail import smtp
from integrations.runtime import mail_delivery, settings, tracing
from integrations.runtime import world as worlds
from integrations.runtime.world import World
from service.kernel import actor, errors

CALLER = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACE = {"traceparent": f"00-{CALLER}-00f067aa0ba902b7-01", "tracestate": "x=canarystate"}


@pytest.fixture
async def traced(outbound: flow.Scene) -> AsyncIterator[tuple[flow.Scene, otlp.Collector]]:
    """The scene with a collector, which has everything when the fixture's tracer ends."""
    world = outbound.world
    with otlp.opened() as collector:
        told = world.settings.model_copy(update={"otlp_endpoint": collector.url})
        async with tracing.opened(told, world.presence.identity) as tracer, postoffice.opened() as office:
            tracing.watch(tracer, world.engine)
            await world.engine.dispose()  # each connection is seen from its beginning
            world.outbox, world.tracer = smtp.SmtpOutbox(office.url), tracer
            yield outbound, collector
            await world.outbox.aclose()


def attributes(span: Span) -> dict[str, str]:
    return {one.key: one.value.string_value or str(one.value.int_value) for one in span.attributes}


async def flushed(world: World) -> None:
    """Have everything sent that has ended."""
    world.tracer.span_processor.force_flush()  # type: ignore[attr-defined]


async def deliver(scene: flow.Scene) -> None:
    for row in await scene.rows("SELECT id FROM delivery WHERE kind = 'mail' ORDER BY id"):
        await mail_delivery.deliver(scene.world, row.id)


@pytest.mark.races
async def test_a_request_its_statements_its_mail_and_its_webhook_are_one_trace(
    traced: tuple[flow.Scene, otlp.Collector],
) -> None:
    scene, collector = traced
    async with receiver.opened() as hospital:
        made = await receiver.endpoint(scene, hospital.url)
        await scene.rows("DELETE FROM delivery RETURNING 1")
        await scene.call("clinician", "POST", "/v1/consultations", scene.wish(), status=201, headers=TRACE)
        await deliver(scene)
        await receiver.sent(scene, made)
    await flushed(scene.world)
    spans = [span for span in collector.spans() if span.trace_id.hex() == CALLER]
    (request,) = [span for span in spans if span.name == "POST /v1/consultations"]
    assert request.parent_span_id.hex() == TRACE["traceparent"].split("-")[2]
    assert attributes(request) == {
        "http.request.method": "POST",
        "http.route": "/v1/consultations",
        "http.response.status_code": "201",
    }
    for name in ("mail", "webhook", "COMMIT;"):
        assert {span.parent_span_id for span in spans if span.name == name} >= {request.span_id}, name
    assert {attributes(span)["pobratym.outcome"] for span in spans if span.name == "webhook"} == {"delivered"}
    writing = [span for span in spans if "INSERT INTO consultation" in attributes(span).get("db.query.text", "")]
    assert {span.parent_span_id for span in writing} == {request.span_id}


@pytest.mark.races
async def test_no_token_no_text_of_a_case_and_no_address_leaves_with_a_trace(
    traced: tuple[flow.Scene, otlp.Collector],
) -> None:
    scene, collector = traced
    email = scene.people["clinician"].email
    assert email is not None
    async with receiver.opened() as hospital:
        hospital.status(500)
        made = await receiver.endpoint(scene, f"{hospital.url}?canaryurl")
        await scene.call(
            "clinician", "POST", "/v1/consultations", scene.wish(question="canaryquestion"), status=201, headers=TRACE
        )
        await scene.client.post("/v1/auth/sign-in-links", json={"email": email})
        for path in ("/sign-in/canarysignin", "/a/canarylink", "/j/canaryjoin", "/unknown/canarypath"):
            await scene.client.get(path, headers=TRACE)
        await scene.client.post("/v1/auth/tokens", json={"token": "canarytoken"})
        await scene.call("admin", "GET", "/v1/people?q=canaryquery&email=canary@hospital.example")
        links = await scene.rows("SELECT id, purpose FROM link")
        await deliver(scene)
        await receiver.sent(scene, made)
    await flushed(scene.world)
    said = b"".join(collector.bodies)
    tokens = [scene.world.keys.link_token(UUID(str(link.id)), link.purpose) for link in links]
    assert tokens
    assert b"canary" not in said
    assert [word for word in (*tokens, email, "hospital.example", "Bearer") if word.encode() in said] == []
    routes = {attributes(span).get("http.route") for span in collector.spans()}
    assert {"/v1/consultations", "unknown"} <= routes
    assert not [route for route in routes if route and route.startswith(("/a/", "/j/", "/sign-in/"))]


@pytest.mark.races
async def test_a_statement_that_is_refused_leaves_its_code_and_not_its_words(
    traced: tuple[flow.Scene, otlp.Collector],
) -> None:
    scene, collector = traced
    with tracing.span(scene.world.tracer, "test", None), pytest.raises(errors.Invalid):
        await scene.rows("SELECT CAST(CAST(:word AS text) AS int)", word="canary")
    with pytest.raises(ValueError, match="canary"), tracing.span(scene.world.tracer, "fault", None):
        raise ValueError("canary")
    await flushed(scene.world)
    kinds = {span.name: attributes(span).get("error.type") for span in collector.spans()}
    assert (kinds["SELECT"], kinds["fault"]) == ("22P02", "ValueError")
    assert b"canary" not in b"".join(collector.bodies)


async def test_without_a_collector_nothing_is_traced(world: World, client: httpx.AsyncClient) -> None:
    async with tracing.opened(world.settings, world.presence.identity) as tracer:
        tracing.watch(tracer, world.engine)
        with tracing.span(tracer, "nothing", TRACE["traceparent"]) as current:
            assert not current.is_recording()
    assert (await client.get("/health/live", headers=TRACE)).status_code == httpx.codes.OK
    assert dataclasses.replace(world, tracer=tracer).settings.otlp_endpoint is None


@pytest.mark.parametrize("name", ["POBRATYM_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"])
def test_a_collector_is_named_by_our_name_or_the_usual_one(name: str) -> None:
    assert settings.load({name: "http://collector:4318/"}).otlp_endpoint == "http://collector:4318"


@pytest.mark.parametrize("value", ["collector:4318", "grpc://collector:4317", "http://", "http://collector/?x"])
def test_an_address_that_is_no_collector_is_told(value: str) -> None:
    with pytest.raises(settings.BadSettings, match="POBRATYM_OTLP_ENDPOINT: must be"):
        settings.load({"POBRATYM_OTLP_ENDPOINT": value})


def test_a_program_without_the_package_does_not_start_and_says_so_in_one_sentence() -> None:
    script = (
        "import sys; sys.modules['opentelemetry.exporter'] = None\n"
        "from api.cli.main import main; sys.argv = ['pobratym', 'doctor']; main()"
    )
    environment = {"POBRATYM_OTLP_ENDPOINT": "http://127.0.0.1:4318", "PATH": "/usr/bin:/bin"}
    ended = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    assert "pip install 'pobratym[otel]'" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.races
async def test_what_is_read_on_a_replica_is_traced_too(world: World) -> None:
    key = base64.urlsafe_b64encode(bytes(range(32))).decode().rstrip("=")
    address = SecretStr(world.connector.address.text)
    with otlp.opened() as collector:
        told = settings.Settings(
            database_url=address, database_read_url=address, secret_keys=SecretStr(f"test:{key}"),
            data_dir=world.settings.data_dir, pool_timeout_ms=60_000, otlp_endpoint=collector.url,
        )  # fmt: skip
        async with worlds.opened(told) as reading:
            assert reading.replica is not None
            with tracing.span(reading.tracer, "report", None):
                async with reading.replica.database.work(actor.TIMER) as w:
                    await w.sql(sa.text("SELECT 4711"))
        asked = [attributes(span).get("db.query.text", "") for span in collector.spans()]
    assert len([text for text in asked if text == "SELECT 4711"]) == 1
