"""What filing a request and asking mentors leaves behind."""

from datetime import UTC, datetime, timedelta

import pytest

import flow
from flow import Scene


async def file_with_consent(scene: Scene) -> None:
    await scene.request()


async def file_and_consent_later(scene: Scene) -> None:
    drafted = await scene.request(consent=None)
    await scene.look()
    await scene.post("clinician", f"/v1/consultations/{drafted}/consent", flow.given_today(scene))


async def coordinator_files(scene: Scene) -> None:
    body = scene.wish(clinician_id=str(scene.people["clinician"].id))
    await scene.post("coordinator", "/v1/consultations", body, 201)


@pytest.mark.parametrize("path", [file_with_consent, file_and_consent_later, coordinator_files])
async def test_a_request_filed_with_consent_is_opened_and_its_first_wave_asked(scene: Scene, path: flow.Step) -> None:
    await path(scene)
    change = await scene.change()
    assert change.events == [
        ("consultation.offered", "consultation"),
        ("consultation.opened", "consultation"),
        ("offer.sent", "mentor"),
        ("offer.sent", "rival"),
    ]
    assert change.mails == [("offer", "mentor"), ("offer", "rival"), ("receipt", "clinician")]
    assert change.calendars == []
    assert await scene.state() == flow.State("offered", None, {}, [])


async def test_the_opened_event_says_open_and_the_offered_event_says_offered(scene: Scene) -> None:
    await scene.request()
    told = await scene.rows(
        "SELECT type, CAST(body AS json)->'data'->>'state' AS state FROM event WHERE type LIKE 'consultation.%'"
    )
    assert {(row.type, row.state) for row in told} == {
        ("consultation.opened", "open"),
        ("consultation.offered", "offered"),
    }


async def test_without_consent_a_request_is_a_draft_that_nobody_hears_of(scene: Scene) -> None:
    await scene.request(consent=None)
    change = await scene.change()
    assert (change.events, change.mails) == ([], [])
    assert await scene.state() == flow.State("draft", None, {}, [])


async def wave_of_the_timer(scene: Scene) -> None:
    await scene.booked()
    await scene.rows("UPDATE mentor_profile SET verified_until = '2028-01-01' RETURNING 1")
    (booked,) = await scene.rows("SELECT id FROM appointment")
    await scene.post("mentor", f"/v1/appointments/{booked.id}/cancel", {"reason": "illness"})
    await scene.look()
    await scene.sweep()


async def choice_by_hand(scene: Scene) -> None:
    await flow.nobody(scene)
    asked = await scene.request()
    await scene.rows("UPDATE mentor_profile SET verified_until = '2028-01-01' RETURNING 1")
    await scene.look()
    await scene.post(
        "coordinator", f"/v1/consultations/{asked}/offers", {"mentor_id": str(scene.people["rival"].id)}, 201
    )


@pytest.mark.parametrize("path", [wave_of_the_timer, choice_by_hand])
async def test_a_mentor_asked_later_makes_the_consultation_offered_again(scene: Scene, path: flow.Step) -> None:
    if path is wave_of_the_timer:
        await flow.alone(scene)
    await path(scene)
    change = await scene.change()
    assert change.events == [("consultation.offered", "consultation"), ("offer.sent", "rival")]
    assert change.mails == [("offer", "rival")]
    assert change.calendars == []
    assert (await scene.state()).consultation == "offered"


async def test_a_second_wave_sends_offers_and_no_second_offered_event(scene: Scene) -> None:
    await scene.request(priority="routine")
    await scene.look()
    await scene.next_wave()
    change = await scene.change()
    assert [type_ for type_, _ in change.events] == ["offer.late", "offer.sent"]
    assert sorted(template for template, _ in change.mails) == ["offer", "offer_late"]
    assert (await scene.state()).consultation == "offered"


async def unmatched_at_once(scene: Scene) -> None:
    await flow.nobody(scene)
    drafted = await scene.request(consent=None)
    await scene.look()
    await scene.post("clinician", f"/v1/consultations/{drafted}/consent", flow.given_today(scene))


async def unmatched_by_the_timer(scene: Scene) -> None:
    await flow.alone(scene)
    await scene.request()
    mine = await scene.offer()
    await scene.post("mentor", f"/v1/offers/{mine['id']}/decline", {"reason": "busy"})
    await scene.look()
    await scene.sweep()


@pytest.mark.parametrize("path", [unmatched_at_once, unmatched_by_the_timer])
async def test_with_nobody_left_to_ask_the_coordinator_hears_why(scene: Scene, path: flow.Step) -> None:
    await path(scene)
    change = await scene.change()
    assert ("consultation.unmatched", "consultation") in change.events
    assert set(change.events) <= {("consultation.unmatched", "consultation"), ("consultation.opened", "consultation")}
    assert ("unmatched", "coordinator") in change.mails
    assert set(change.mails) <= {("unmatched", "coordinator"), ("receipt_unmatched", "clinician")}
    (told,) = await scene.rows("SELECT payload FROM delivery WHERE payload->>'template' = 'unmatched'")
    assert sum(told.payload["values"]["counts"].values()) >= 1
    assert await scene.state() == flow.State("unmatched", None, {}, [])


async def offers_sent(scene: Scene) -> int:
    return len((await scene.get("coordinator", "/v1/offers"))["items"])


@pytest.mark.parametrize(
    ("priority", "wave"),
    [
        ("routine", timedelta(hours=24)),
        ("urgent", timedelta(hours=4)),
        ("asap", timedelta(hours=1)),
        ("stat", timedelta(minutes=10)),
    ],
)
@pytest.mark.parametrize("looks_in_vain", [0, 1])
async def test_with_everybody_away_it_is_looked_again_once_a_wave(
    scene: Scene, priority: str, wave: timedelta, looks_in_vain: int
) -> None:
    await scene.rows(
        "INSERT INTO availability_exception (id, person_id, from_wall, until_wall, kind)"
        " SELECT gen_random_uuid(), person_id, '2020-01-01', '2099-01-01', 'away' FROM mentor_profile RETURNING 1"
    )
    await scene.request(priority=priority)
    for _ in range(looks_in_vain):
        scene.clock.set(scene.clock.now() + wave)
        await scene.sweep()
    await scene.rows("DELETE FROM availability_exception RETURNING 1")
    scene.clock.set(scene.clock.now() + wave - timedelta(seconds=1))
    await scene.sweep()
    offers_too_early = await offers_sent(scene)
    scene.clock.forward(seconds=1)
    await scene.sweep()
    assert offers_too_early == 0
    assert await offers_sent(scene) > 0


async def alerts(scene: Scene) -> list[str]:
    """Let the timers act, and give who was alerted since the last look."""
    await scene.sweep()
    return [reader for template, reader in (await scene.change()).mails if template == "alert"]


@pytest.mark.parametrize(
    ("priority", "after"),
    [
        ("routine", timedelta(days=3)),
        ("urgent", timedelta(hours=8)),
        ("asap", timedelta(hours=2)),
        ("stat", timedelta(0)),
    ],
)
async def test_the_coordinator_is_alerted_once_when_nobody_has_accepted_in_time(
    scene: Scene, priority: str, after: timedelta
) -> None:
    await scene.request(priority=priority)
    if after:
        scene.clock.set(scene.clock.now() + after - timedelta(seconds=1))
        assert await alerts(scene) == []
        scene.clock.forward(seconds=1)
    assert await alerts(scene) == ["coordinator"]
    scene.clock.forward(hours=1)
    assert await alerts(scene) == []


async def accepted(scene: Scene) -> None:
    await scene.booked()


async def advice_promised(scene: Scene) -> None:
    await scene.request(mode="written")
    await scene.post("mentor", f"/v1/offers/{(await scene.offer())['id']}/accept")


async def withdrawn(scene: Scene) -> None:
    asked = await scene.request()
    await scene.post("clinician", f"/v1/consultations/{asked}/cancel", {"reason": "other"})


@pytest.mark.parametrize("path", [accepted, advice_promised, withdrawn])
async def test_nobody_is_alerted_of_what_is_agreed_or_withdrawn(scene: Scene, path: flow.Step) -> None:
    await path(scene)
    scene.clock.forward(hours=8)
    assert await alerts(scene) == []


async def test_what_seeks_again_has_its_whole_time_anew_and_its_own_alert(scene: Scene) -> None:
    booked = await scene.booked()
    scene.clock.forward(hours=2)
    await scene.post("mentor", f"/v1/appointments/{booked['id']}/cancel", {"reason": "illness"})
    case = await scene.get("clinician", f"/v1/consultations/{booked['consultation_id']}")
    assert case["answer_due_at"] == flow.instant(scene.clock.now() + timedelta(hours=24))
    scene.clock.set(scene.clock.now() + timedelta(hours=8) - timedelta(seconds=1))
    assert await alerts(scene) == []
    scene.clock.forward(seconds=1)
    assert await alerts(scene) == ["coordinator"]


async def told_coordinator(scene: Scene) -> dict[str, int]:
    (told,) = await scene.rows("SELECT payload FROM delivery WHERE payload->>'template' = 'unmatched'")
    return dict(told.payload["values"]["asked"])


async def test_the_coordinator_hears_how_many_were_asked_and_how_they_answered(scene: Scene) -> None:
    await scene.request()
    theirs = await scene.offer("rival")
    await scene.post("rival", f"/v1/offers/{theirs['id']}/decline", {"reason": "busy"})
    await scene.next_wave()
    assert await told_coordinator(scene) == {"declined": 1, "expired": 1}


async def test_the_coordinator_hears_that_an_agreement_came_to_nothing(scene: Scene) -> None:
    await flow.alone(scene)
    booked = await scene.booked()
    await scene.post("mentor", f"/v1/appointments/{booked['id']}/cancel", {"reason": "illness"})
    await scene.sweep()
    assert await told_coordinator(scene) == {"ended": 1}


async def test_a_mentor_who_was_asked_twice_is_counted_once(scene: Scene) -> None:
    await flow.alone(scene)
    asked = await scene.request()
    for _ in range(2):
        mine = await scene.offer()
        await scene.post("mentor", f"/v1/offers/{mine['id']}/decline", {"reason": "busy"})
        if not await scene.rows("SELECT 1 FROM offer OFFSET 1"):
            body = {"mentor_id": str(scene.people["mentor"].id)}
            await scene.post("coordinator", f"/v1/consultations/{asked}/offers", body, 201)
    await scene.sweep()
    assert await told_coordinator(scene) == {"declined": 1}


async def test_the_coordinator_hears_that_nobody_was_asked(scene: Scene) -> None:
    await scene.request(languages=["tr"])
    assert await told_coordinator(scene) == {}


async def test_a_receipt_says_when_the_answer_is_due_and_asks_its_reader_for_nothing(scene: Scene) -> None:
    await scene.request()
    (told,) = await scene.rows("SELECT payload FROM delivery WHERE payload->>'template' = 'receipt'")
    (case,) = await scene.rows("SELECT answer_due_at FROM consultation")
    assert told.payload["values"]["answer_due_at"] == flow.instant(case.answer_due_at)
    assert "answer_by" not in told.payload["values"]


async def test_a_receipt_claims_that_mentors_are_asked_only_if_they_are(scene: Scene) -> None:
    await scene.request(languages=["tr"])
    change = await scene.change()
    assert change.mails == [("receipt_unmatched", "clinician"), ("unmatched", "coordinator")]


async def test_who_has_no_time_is_asked_to_write_where_either_will_do(scene: Scene) -> None:
    await flow.alone(scene)
    await scene.rows("DELETE FROM weekly_hours RETURNING 1")
    await scene.request(mode="either")
    assert ("offer_written", "mentor") in (await scene.change()).mails
    links = await scene.rows("SELECT purpose FROM link WHERE purpose LIKE 'offer.%' ORDER BY purpose")
    assert [row.purpose for row in links] == ["offer.accept_written", "offer.decline"]


async def stat(scene: Scene, **fields: object) -> str:
    """File a stat request half a minute before a start."""
    await flow.alone(scene)
    await scene.rows("UPDATE mentor_profile SET opt_ins = '{stat}' RETURNING 1")
    scene.clock.set(datetime(2026, 11, 16, 9, 14, 30, tzinfo=UTC))
    return await scene.request(priority="stat", **fields)


async def stat_by_hand(scene: Scene) -> None:
    await scene.rows("UPDATE mentor_profile SET quiet_from_minute = 0, quiet_until_minute = 1439 RETURNING 1")
    await flow.nobody(scene)
    scene.clock.set(datetime(2026, 11, 16, 9, 14, 30, tzinfo=UTC))
    asked = await scene.request(priority="stat")
    await scene.rows(
        "UPDATE mentor_profile SET verified_until = '2028-01-01', opt_ins = '{stat}' WHERE person_id = :p RETURNING 1",
        p=scene.people["mentor"].id,
    )
    body = {"mentor_id": str(scene.people["mentor"].id)}
    await scene.post("coordinator", f"/v1/consultations/{asked}/offers", body, 201)


@pytest.mark.parametrize("path", [stat, stat_by_hand])
async def test_every_time_of_a_stat_offer_can_be_taken_until_it_ends(scene: Scene, path: flow.Step) -> None:
    await path(scene)
    mine = await scene.offer()
    assert min(mine["starts"]) >= mine["answer_by"]
    scene.clock.set(flow.read_instant(mine["answer_by"]) - timedelta(seconds=1))
    await scene.post("mentor", f"/v1/offers/{mine['id']}/accept", {"starts_at": mine["starts"][0]})


async def test_a_time_before_the_offer_ends_is_proposed_where_there_is_no_other(scene: Scene) -> None:
    await stat(scene, windows=[{"from": "2026-11-16T09:15:00Z", "until": "2026-11-16T09:45:00Z"}])
    assert (await scene.offer())["starts"] == ["2026-11-16T09:15:00Z"]


async def test_one_time_at_least_can_be_taken_until_the_offer_ends(scene: Scene) -> None:
    await flow.alone(scene)
    scene.clock.set(datetime(2026, 11, 16, 11, 0, tzinfo=UTC))
    await scene.request(priority="asap", windows=[{"from": "2026-11-16T11:00:00Z", "until": "2026-11-16T13:00:00Z"}])
    mine = await scene.offer()
    assert mine["starts"] == [mine["answer_by"]] == ["2026-11-16T12:00:00Z"]
