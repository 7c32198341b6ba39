"""Webhooks on their way: the schedule, what counts as success, when an endpoint is left alone; the log of it."""

import json
from collections.abc import Callable
from datetime import timedelta
from email.utils import format_datetime
from uuid import UUID

import httpx
import pytest
import standardwebhooks

import flow
import leaving
import receiver
from receiver import happen, log, sent
from service.kernel import actor, clock
from service.outbox import webhooks
from service.rules.delivery import retry

PATH = "/v1/webhook-endpoints"


async def test_wh_07_a_change_that_is_rolled_back_sends_nothing(outbound: flow.Scene) -> None:
    await receiver.endpoint(outbound, "https://hospital.example/in")

    async def undone() -> None:
        async with outbound.world.database.work(actor.TIMER) as w:
            receiver.tell(w, outbound)
            await w.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await undone()
    assert await outbound.rows("SELECT 1 FROM delivery") == []
    await happen(outbound)
    assert len(await outbound.rows("SELECT 1 FROM delivery")) == 1


async def test_wh_09_a_receiver_that_is_down_is_tried_by_the_schedule_until_it_is_up(outbound: flow.Scene) -> None:
    async with receiver.opened() as hospital:
        made = await receiver.endpoint(outbound, hospital.url)
        await happen(outbound)
        hospital.status(503)
        for gap in retry.GAPS:
            await sent(outbound, made)
            (row,) = await outbound.rows("SELECT next_attempt_at FROM delivery")
            assert gap * 0.8 <= row.next_attempt_at - outbound.clock.now() <= gap * 1.2
            outbound.clock.set(row.next_attempt_at - timedelta(seconds=1))
            await sent(outbound, made)
            outbound.clock.forward(seconds=1)
        assert len(hospital.arrivals) == len(retry.GAPS)
        await sent(outbound, made)
    (delivery,) = await log(outbound, made)
    assert (delivery["state"], len(delivery["attempts"])) == ("dead", retry.MAX_ATTEMPTS)
    assert {attempt["status"] for attempt in delivery["attempts"]} == {503}
    assert len(set(hospital.ids)) == 1


@pytest.mark.parametrize(
    ("said", "waits"),
    [
        (lambda: "7200", timedelta(hours=2)),
        (lambda: "999999999999", timedelta(hours=24)),
        (lambda: format_datetime(clock.wall() + timedelta(hours=3), usegmt=True), timedelta(hours=3)),
        (lambda: "soon", timedelta(seconds=5)),
        (lambda: "-5", timedelta(seconds=5)),
        (lambda: "1", timedelta(seconds=5)),
    ],
    ids=["seconds", "too long", "a date", "nonsense", "negative", "shorter than the schedule"],
)
async def test_wh_09_retry_after_is_honoured_up_to_a_day(
    outbound: flow.Scene, said: Callable[[], str], waits: timedelta
) -> None:
    async with receiver.opened() as hospital:
        made = await receiver.endpoint(outbound, hospital.url)
        await happen(outbound)
        hospital.status(429, f"Retry-After: {said()}")
        await sent(outbound, made)
    (row,) = await outbound.rows("SELECT next_attempt_at FROM delivery")
    assert waits * 0.8 - timedelta(seconds=30) < row.next_attempt_at - outbound.clock.now() <= waits * 1.2


@pytest.mark.parametrize(
    ("status", "state", "error"),
    [(200, "delivered", None), (202, "delivered", None), (204, "delivered", None)]
    + [(code, "pending", "redirect") for code in (301, 302, 303, 304, 307, 308)]
    + [(code, "pending", "status") for code in (400, 401, 404, 409, 429, 500, 503, 599)]
    + [(410, "refused", "gone")],
)
async def test_wh_10_only_2xx_is_success_and_nobody_is_followed(
    outbound: flow.Scene, status: int, state: str, error: str | None
) -> None:
    async with receiver.opened() as hospital, receiver.opened() as elsewhere:
        made = await receiver.endpoint(outbound, hospital.url)
        await happen(outbound)
        hospital.status(status, f"Location: {elsewhere.url}")
        await sent(outbound, made)
    (delivery,) = await log(outbound, made)
    (attempt,) = delivery["attempts"]
    assert (delivery["state"], attempt["status"], attempt["error"]) == (state, status, error)
    assert elsewhere.connections == 0


async def test_wh_10_an_endpoint_that_is_gone_is_disabled_at_once_and_its_coordinators_and_other_endpoints_are_told(
    outbound: flow.Scene,
) -> None:
    async with receiver.opened() as hospital:
        made = await receiver.endpoint(outbound, hospital.url, types=["session.logged"])
        other = await receiver.endpoint(outbound, hospital.url, types=["webhook_endpoint.disabled"])
        partner = await receiver.endpoint(outbound, hospital.url, "partner")
        await happen(outbound, 3)
        await outbound.look()
        hospital.status(410)
        await sent(outbound, made)
    shown = await outbound.get("coordinator", f"{PATH}/{made['id']}")
    assert (shown["state"], shown["why"]) == ("disabled", "gone")
    assert await outbound.change() == flow.Change(
        [("webhook_endpoint.disabled", "webhook_endpoint")], [("webhook_gone", "coordinator")], []
    )
    assert [row["type"] for row in await log(outbound, other)] == ["webhook_endpoint.disabled"]
    assert {row["type"] for row in await log(outbound, partner, "partner")} == {"session.logged"}
    await happen(outbound)
    assert len(await log(outbound, made)) == 3


async def test_wh_10_ft_02_without_a_coordinator_the_admins_are_told_that_an_endpoint_is_disabled(
    outbound: flow.Scene,
) -> None:
    async with receiver.opened() as hospital:
        made = await receiver.endpoint(outbound, hospital.url)
        await leaving.disabled(outbound, "coordinator")
        await happen(outbound)
        await outbound.look()
        hospital.status(410)
        await sent(outbound, made)
    assert ("webhook_gone", "admin") in (await outbound.change()).mails


async def test_wh_11_an_endpoint_that_only_fails_is_warned_of_and_disabled_after_five_days(
    outbound: flow.Scene,
) -> None:
    async with receiver.opened() as hospital:
        made = await receiver.endpoint(outbound, hospital.url)
        await outbound.look()
        hospital.status(500)
        told: dict[int, list[str]] = {}
        for hour in range(0, 126, 3):
            outbound.clock.forward(hours=3)
            await happen(outbound)
            await sent(outbound, made)
            change = await outbound.change()
            names = [name for name, _ in change.mails + change.events if name != "session.logged"]
            told |= {hour: names} if names else {}
    warnings = {hour: ["webhook_failing"] for hour in (60, 84, 108)}
    assert told == warnings | {120: ["webhook_disabled", "webhook_endpoint.disabled"]}
    shown = await outbound.get("coordinator", f"{PATH}/{made['id']}")
    assert (shown["state"], shown["why"]) == ("disabled", "failing")


async def test_wh_11_one_success_begins_the_five_days_anew(outbound: flow.Scene) -> None:
    async with receiver.opened() as hospital:
        made = await receiver.endpoint(outbound, hospital.url)
        for _ in range(2):
            hospital.status(500)
            for _ in range(8):
                outbound.clock.forward(hours=14)
                await happen(outbound)
                await sent(outbound, made)
            hospital.status(200)
            outbound.clock.forward(minutes=2)
            await sent(outbound, made)
    shown = await outbound.get("coordinator", f"{PATH}/{made['id']}")
    assert (shown["state"], shown["failing_since"]) == ("active", None)


async def test_wh_11_what_happened_while_an_endpoint_was_disabled_is_sent_once_it_is_back(
    outbound: flow.Scene,
) -> None:
    async with receiver.opened() as hospital:
        made = await receiver.endpoint(outbound, hospital.url)
        since = flow.instant(outbound.clock.now())
        await happen(outbound)
        hospital.status(410)
        await sent(outbound, made)
        outbound.clock.forward(days=10)
        await happen(outbound, 5)
        hospital.status(200)
        await outbound.post("coordinator", f"{PATH}/{made['id']}/recover", {"since": since}, 409)
        shown = await outbound.call("coordinator", "GET", f"{PATH}/{made['id']}")
        change = {"If-Match": shown.headers["etag"]}
        await outbound.call(
            "coordinator", "PATCH", f"{PATH}/{made['id']}", {"state": "active"}, headers=change, status=200
        )
        recovery = await outbound.post("coordinator", f"{PATH}/{made['id']}/recover", {"since": since}, 202)
        await sent(outbound, made)
    events = {str(row.id) for row in await outbound.rows("SELECT id FROM event")}
    assert recovery["count"] == len(events) == 7
    assert sorted(hospital.ids[1:]) == sorted(events)


async def test_wh_12_a_delivery_that_fails_does_not_hold_up_what_happened_later(outbound: flow.Scene) -> None:
    async with receiver.opened() as hospital:
        made = await receiver.endpoint(outbound, hospital.url)
        await happen(outbound)
        hospital.status(500)
        await sent(outbound, made)
        await happen(outbound, 3)
        hospital.status(200)
        await sent(outbound, made)
    assert [row["state"] for row in await log(outbound, made)] == ["delivered"] * 3 + ["pending"]


async def test_wh_12_a_breaker_leaves_an_endpoint_alone_that_fails_again_and_again(outbound: flow.Scene) -> None:
    async with receiver.opened() as hospital:
        made = await receiver.endpoint(outbound, hospital.url)
        hospital.status(500)
        await happen(outbound, 40)
        await sent(outbound, made)
        tried = len(hospital.arrivals)
        await sent(outbound, made)
        assert len(hospital.arrivals) == tried < 40
        outbound.clock.forward(seconds=61)
        await sent(outbound, made)
        assert len(hospital.arrivals) == tried + 1
        outbound.clock.forward(seconds=61)
        hospital.status(200)
        await sent(outbound, made)
        outbound.clock.forward(hours=1)
        await sent(outbound, made)
    assert len(set(hospital.ids)) == 40
    assert {row["state"] for row in await log(outbound, made)} == {"delivered"}


async def test_wh_14_the_log_has_every_attempt_with_what_was_said(outbound: flow.Scene) -> None:
    async with receiver.opened() as hospital:
        made = await receiver.endpoint(outbound, hospital.url)
        await happen(outbound)
        long = b"no\x00t <b>now</b>\x1b[31m " + b"x" * 5_000
        hospital.answers = [b"HTTP/1.1 500 No\r\nContent-Length: %d\r\n\r\n" % len(long) + long, b""]
        await sent(outbound, made)
        outbound.clock.forward(minutes=1)
        await sent(outbound, made)
    (delivery,) = await log(outbound, made)
    first, second = delivery["attempts"]
    assert (first["attempt"], first["status"], first["error"], first["outcome"]) == (1, 500, "status", "retry")
    assert first["response"].startswith("not <b>now</b>[31m xxx")
    assert len(first["response"]) <= 1_024
    assert flow.read_instant(first["next_attempt_at"]) > flow.read_instant(first["at"])
    assert (second["status"], second["error"], second["response"]) == (None, "broken_answer", None)
    assert delivery["next_attempt_at"] == second["next_attempt_at"]


async def test_wh_14_a_delivery_is_sent_again_under_its_id(outbound: flow.Scene) -> None:
    async with receiver.opened() as hospital:
        made = await receiver.endpoint(outbound, hospital.url)
        await happen(outbound)
        await sent(outbound, made)
        (delivery,) = await log(outbound, made)
        again = await outbound.post("coordinator", f"{PATH}/deliveries/{delivery['id']}/resend", None, 202)
        hospital.status(500)
        await sent(outbound, made)
        (row,) = await outbound.rows("SELECT next_attempt_at FROM delivery")
        assert row.next_attempt_at - outbound.clock.now() < timedelta(seconds=7)
    assert (again["state"], again["webhook_id"]) == ("pending", delivery["webhook_id"])
    assert hospital.ids == [delivery["webhook_id"]] * 2


async def test_wh_14_recover_sends_what_failed_and_nothing_that_arrived(outbound: flow.Scene) -> None:
    async with receiver.opened() as hospital:
        made = await receiver.endpoint(outbound, hospital.url)
        await happen(outbound)
        await sent(outbound, made)
        outbound.clock.forward(hours=1)
        since = flow.instant(outbound.clock.now())
        await happen(outbound, 2)
        await outbound.rows(
            "UPDATE delivery SET state = 'dead', next_attempt_at = NULL WHERE state = 'pending' RETURNING 1"
        )
        recovery = await outbound.post("coordinator", f"{PATH}/{made['id']}/recover", {"since": since}, 202)
        await sent(outbound, made)
    assert recovery == {"count": 2}
    assert len(hospital.arrivals) == 3
    long_ago = flow.instant(outbound.clock.now() - timedelta(days=15))
    await outbound.post("coordinator", f"{PATH}/{made['id']}/recover", {"since": long_ago}, 422)


async def test_wh_14_recover_sends_now_what_waits_to_be_tried_again(outbound: flow.Scene) -> None:
    async with receiver.opened() as hospital:
        made = await receiver.endpoint(outbound, hospital.url)
        since = flow.instant(outbound.clock.now())
        hospital.status(429, "Retry-After: 3600")
        await happen(outbound)
        await sent(outbound, made)
        hospital.status(200)
        outbound.clock.forward(minutes=2)
        recovery = await outbound.post("coordinator", f"{PATH}/{made['id']}/recover", {"since": since}, 202)
        await sent(outbound, made)
    assert recovery == {"count": 1}
    assert len(hospital.arrivals) == 2


async def test_wh_14_recover_leaves_alone_what_a_worker_tries_now(outbound: flow.Scene) -> None:
    async with receiver.opened() as hospital:
        made = await receiver.endpoint(outbound, hospital.url)
        since = flow.instant(outbound.clock.now())
        await happen(outbound)
        async with outbound.world.database.work(actor.TIMER) as w:
            assert await webhooks.claim(w, UUID(made["id"]), 1) is not None
        recovery = await outbound.post("coordinator", f"{PATH}/{made['id']}/recover", {"since": since}, 202)
        assert recovery == {"count": 0}
        outbound.clock.forward(seconds=-30)  # a simulated clock moves no lease
        await outbound.rows("UPDATE delivery SET leased_until = now() - interval '1 second' RETURNING 1")
        recovery = await outbound.post("coordinator", f"{PATH}/{made['id']}/recover", {"since": since}, 202)
    assert recovery == {"count": 1}


async def test_wh_14_a_test_event_goes_to_the_one_endpoint_and_is_signed_like_any_other(outbound: flow.Scene) -> None:
    async with receiver.opened() as hospital:
        made = await receiver.endpoint(outbound, hospital.url, types=["offer.sent"])
        other = await receiver.endpoint(outbound, hospital.url)
        delivery = await outbound.post("coordinator", f"{PATH}/{made['id']}/test", None, 202)
        await sent(outbound, made)
        await sent(outbound, other)
    (arrival,) = hospital.arrivals
    assert arrival.headers["webhook-id"] == delivery["webhook_id"]
    assert json.loads(arrival.body)["type"] == "webhook_endpoint.test"
    standardwebhooks.Webhook(made["secret"]).verify(arrival.body, arrival.headers)
    schema = await outbound.client.get("/schemas/events/webhook_endpoint.test.json")
    assert schema.status_code == httpx.codes.OK
