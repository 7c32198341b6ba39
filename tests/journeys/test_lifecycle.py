"""The whole lifecycle against a dictionary: whatever is tried in whatever order, the rows say what it says."""

# ruff: noqa: ANN401 - answers are JSON

import asyncio
import os
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, settings, stateful
from hypothesis import strategies as st
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine

import crowd
import flow
import telling
import world as simulated
from api import app
from integrations.runtime.settings import Settings
from service.kernel import clock
from service.rules import lifecycle

pytestmark = [pytest.mark.slow, pytest.mark.load(8)]

MENTORS = st.sampled_from(("mentor", "rival"))
THURSDAY = datetime(2026, 11, 19, 10, tzinfo=UTC)
OFFERS = "SELECT mentor_id, CASE WHEN is_late THEN 'late' ELSE state END AS state FROM offer"
POLICY = '{"priorities": {"routine": {"per_wave": 2}}}'


class Lifecycle(stateful.RuleBasedStateMachine):
    """One consultation asked of two mentors, and what the dictionary `model` says of it."""

    runner: ClassVar[asyncio.Runner]
    engine: ClassVar[AsyncEngine]
    told: ClassVar[Settings]
    application: ClassVar[FastAPI]

    def __init__(self) -> None:
        super().__init__()
        self.rolled_back = simulated.rolled_back(self.engine)
        self.scene: flow.Scene = self.run(self.set_up())
        self.model: dict[str, Any] = {
            "consultation": "offered",
            "offers": {"mentor": "pending", "rival": "pending"},
            "appointment": None,
        }
        self.with_mentor = self.appointment = self.start = ""
        self.countered: set[str] = set()
        self.is_wave_due = False

    def run(self, what: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(what)

    async def set_up(self) -> flow.Scene:
        bind = await self.rolled_back.__aenter__()
        time = simulated.TestClock()
        world = simulated.made(self.told, self.engine, time, bind)
        scene = flow.Scene(world, time, simulated.calling(self.application, world))
        await scene.set_up()
        await scene.rows("UPDATE programme SET policy = CAST(:policy AS jsonb)", policy=POLICY)
        self.case = await scene.request(priority="routine")
        self.offers = {name: await scene.offer(name) for name in ("mentor", "rival")}
        return scene

    def teardown(self) -> None:
        assert self.run(crowd.faults(self.scene)) == []
        assert self.run(telling.faults(self.scene)) == []
        self.run(self.scene.client.aclose())
        self.run(self.rolled_back.__aexit__(None, None, None))

    # --- what is tried

    @stateful.rule(who=MENTORS)
    def accept(self, who: str) -> None:
        offer = self.offers[who]
        answer = self.call(who, f"/v1/offers/{offer['id']}/accept", starts_at=offer["starts"][0])
        if self.offer(who) == "late" and flow.read_instant(offer["starts"][0]) <= self.scene.clock.now():
            assert answer.status_code == 422, answer.text
        elif self.offer(who) in {"pending", "late"}:
            self.agreed(who, answer)
        else:
            is_again = self.is_with(who) and self.start == offer["starts"][0]
            assert answer.status_code == (200 if is_again else 409), answer.text

    @stateful.rule(who=MENTORS)
    def decline(self, who: str) -> None:
        answer = self.call(who, f"/v1/offers/{self.offers[who]['id']}/decline", reason="busy")
        is_open = self.offer(who) in {"pending", "late", "countered"}
        assert answer.status_code == (200 if is_open or self.offer(who) == "declined" else 409), answer.text
        if is_open:
            self.answered(who, "declined")

    @stateful.rule(who=MENTORS)
    def counter(self, who: str) -> None:
        path = f"/v1/offers/{self.offers[who]['id']}/counter"
        answer = self.call(who, path, starts=[flow.instant(THURSDAY)])
        assert answer.status_code == (200 if self.offer(who) in {"pending", "late"} else 409), answer.text
        if answer.is_success:
            self.model["offers"][who] = "countered"
            self.countered.add(who)

    @stateful.precondition(lambda self: self.countered)
    @stateful.rule(data=st.data())
    def accept_counter(self, data: st.DataObject) -> None:
        who = data.draw(st.sampled_from(sorted(self.countered)))
        path = f"/v1/offers/{self.offers[who]['id']}/counter/accept"
        answer = self.call("clinician", path, starts_at=flow.instant(THURSDAY))
        if self.offer(who) == "countered":
            self.agreed(who, answer)
        else:
            is_again = self.is_with(who) and self.start == flow.instant(THURSDAY)
            assert answer.status_code == (200 if is_again else 409), answer.text

    @stateful.precondition(lambda self: self.countered)
    @stateful.rule(data=st.data())
    def decline_counter(self, data: st.DataObject) -> None:
        who = data.draw(st.sampled_from(sorted(self.countered)))
        answer = self.call("clinician", f"/v1/offers/{self.offers[who]['id']}/counter/decline")
        assert answer.status_code == (200 if self.offer(who) == "countered" else 409), answer.text
        if answer.is_success:
            is_in_time = self.scene.clock.now() < flow.read_instant(self.offers[who]["answer_by"])
            self.answered(who, "pending" if is_in_time else "late")

    @stateful.precondition(lambda self: "pending" in self.model["offers"].values())
    @stateful.rule(data=st.data())
    def hold(self, data: st.DataObject) -> None:
        waiting = [who for who, state in self.model["offers"].items() if state == "pending"]
        who = data.draw(st.sampled_from(sorted(waiting)))
        offer = self.offers[who]
        answer = self.call(
            "coordinator",
            f"/v1/consultations/{self.case}/holds",
            mentor_id=offer["mentor_id"],
            starts_at=offer["starts"][0],
        )
        may = self.model["consultation"] in lifecycle.SEEKING and self.model["appointment"] != "pending"
        assert answer.status_code == (201 if may else 409), answer.text
        if may:
            self.taken(who, answer, "pending")

    @stateful.precondition(lambda self: self.model["appointment"])
    @stateful.rule()
    def release(self) -> None:
        path = f"/v1/appointments/{self.appointment}/hold"
        answer = self.run(self.scene.call("coordinator", "DELETE", path))
        expected = 200 if self.model["appointment"] in {"pending", "cancelled"} else 409
        assert answer.status_code == expected, answer.text
        if self.model["appointment"] == "pending":
            self.model["appointment"] = "cancelled"

    @stateful.precondition(lambda self: self.model["appointment"])
    @stateful.rule()
    def move(self) -> None:
        start = flow.read_instant(self.start)
        there = start + timedelta(minutes=15 if start.minute % 30 == 0 else -15)
        answer = self.call(
            "clinician", f"/v1/appointments/{self.appointment}/reschedule", starts_at=flow.instant(there)
        )
        assert answer.status_code == (200 if self.model["appointment"] == "booked" else 409), answer.text
        if answer.is_success:
            assert answer.json()["starts_at"] == flow.instant(there)
            self.start = flow.instant(there)

    @stateful.precondition(lambda self: self.model["appointment"])
    @stateful.rule(side=st.sampled_from(("clinician", "partner")))
    def cancel(self, side: str) -> None:
        before = self.model["appointment"]
        answer = self.call(side, f"/v1/appointments/{self.appointment}/cancel", reason="illness")
        if before in {"pending", "booked"}:
            assert answer.status_code == 200, answer.text
            self.model["appointment"] = "cancelled"
        if before == "booked":
            self.lost(side)

    @stateful.precondition(lambda self: self.model["appointment"])
    @stateful.rule()
    def nobody_came_too_early(self) -> None:
        answer = self.call("coordinator", f"/v1/appointments/{self.appointment}/no-show", who="mentor")
        assert answer.status_code == 409, answer.text

    @stateful.precondition(lambda self: self.model["appointment"] == "booked")
    @stateful.rule()
    def attend(self) -> None:
        start = flow.read_instant(self.start)
        self.scene.clock.set(start + timedelta(minutes=30))
        answer = self.call(
            "clinician",
            f"/v1/appointments/{self.appointment}/session",
            started_at=self.start,
            ended_at=flow.instant(start + timedelta(minutes=20)),
            outcome="advice_given",
        )
        assert answer.status_code == 201, answer.text
        self.model |= {"appointment": "fulfilled", "consultation": "completed"}

    @stateful.rule()
    def withdraw(self) -> None:
        path = f"/v1/consultations/{self.case}/cancel"
        answer = self.call("clinician", path, reason="transferred")
        if self.model["consultation"] in {"completed", "cancelled"}:
            assert answer.status_code in {200, 409}, answer.text
            return
        assert answer.status_code == 200, answer.text
        self.model["consultation"] = "cancelled"
        if self.model["appointment"] in {"pending", "booked"}:
            self.model["appointment"] = "cancelled"
        self.close_offers()

    @stateful.rule()
    def sweep(self) -> None:
        self.run(self.scene.sweep())
        self.swept()

    @stateful.precondition(lambda self: self.model["consultation"] in lifecycle.SEEKING)
    @stateful.rule()
    def the_time_to_answer_passes(self) -> None:
        last = max(flow.read_instant(offer["answer_by"]) for offer in self.offers.values())
        if self.scene.clock.now() >= last:
            return
        self.scene.clock.set(last)
        self.run(self.scene.sweep())
        for who, state in self.model["offers"].items():
            if state == "pending":
                self.model["offers"][who] = "late"
        if self.model["appointment"] == "pending":
            self.model["appointment"] = "cancelled"
        self.is_wave_due = True
        self.swept()

    # --- what is true afterwards

    @stateful.invariant()
    def rows_say_what_the_dictionary_says(self) -> None:
        state = self.run(self.scene.state())
        assert (state.consultation, state.appointment) == (self.model["consultation"], self.model["appointment"])
        rows = self.run(self.scene.rows(OFFERS))
        assert {self.scene.name(row.mentor_id): row.state for row in rows} == self.model["offers"]
        if state.appointment in {"pending", "booked"}:
            assert state.seats == sorted(["clinician", self.with_mentor])
        elif state.appointment != "fulfilled":
            assert state.seats == []

    # --- the dictionary

    def call(self, who: str, path: str, /, **body: Any) -> Any:
        return self.run(self.scene.call(who, "POST", path, body))

    def offer(self, who: str) -> str:
        return str(self.model["offers"][who])

    def is_with(self, who: str) -> bool:
        return self.model["appointment"] == "booked" and self.with_mentor == who and self.offer(who) == "accepted"

    def taken(self, who: str, answer: Any, status: str) -> None:
        self.model["appointment"], self.with_mentor = status, who
        self.appointment, self.start = answer.json()["id"], answer.json()["starts_at"]

    def agreed(self, who: str, answer: Any) -> None:
        assert answer.status_code == 200, answer.text
        self.taken(who, answer, "booked")
        self.model["consultation"] = "scheduled"
        self.model["offers"][who] = "accepted"
        self.is_wave_due = False
        self.close_offers()

    def close_offers(self) -> None:
        for who, state in self.model["offers"].items():
            if state in {"pending", "late", "countered"}:
                self.model["offers"][who] = "withdrawn"

    def answered(self, who: str, state: str) -> None:
        self.model["offers"][who] = state
        if self.model["consultation"] in lifecycle.SEEKING and "pending" not in self.model["offers"].values():
            self.is_wave_due = True

    def lost(self, side: str) -> None:
        self.model["consultation"] = "open" if side == "partner" else "cancelled"
        self.is_wave_due = side == "partner"

    def swept(self) -> None:
        """Say what a wave finds: nobody is left, since both were asked."""
        waits = {"pending", "countered"} & set(self.model["offers"].values())
        if self.is_wave_due and not waits and self.model["consultation"] in lifecycle.SEEKING:
            self.model["consultation"] = "unmatched"
        self.is_wave_due = self.is_wave_due and "pending" in waits


def test_the_rows_follow_a_dictionary_through_any_order_of_steps(
    server_url: URL, template: str, the_settings: Settings
) -> None:
    async def opened() -> tuple[Any, AsyncEngine]:
        database = simulated.database(server_url, f"pobratym_{clock.new_id().hex}", template)
        return database, simulated.engine(the_settings, await database.__aenter__())

    with asyncio.Runner() as runner:
        database, engine = runner.run(opened())
        Lifecycle.runner, Lifecycle.engine, Lifecycle.told = runner, engine, the_settings
        Lifecycle.application = app.create()
        quiet = settings(
            max_examples=200 if os.environ.get("DRILLS") == "1" else 5,
            stateful_step_count=12,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        )
        try:
            stateful.run_state_machine_as_test(Lifecycle, settings=quiet)
        finally:
            runner.run(engine.dispose())
            runner.run(database.__aexit__(None, None, None))
