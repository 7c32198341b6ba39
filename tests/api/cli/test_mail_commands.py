"""The commands about mails, typed as an operator types them."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

import build
import terminal
from integrations.runtime import logs, postgres, settings, world
from service.kernel import actor, outcomes
from service.outbox import deliveries
from terminal import Run


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data directory with a running server."""
    data_dir = tmp_path_factory.mktemp("mails")
    with postgres.running(data_dir, fast_unsafe=True):
        yield data_dir


@pytest.fixture
def run(installed: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Type a command; gives its status, what it printed, what it complained of."""
    yield terminal.over(installed, monkeypatch, capfd, "mail")
    logs.configure("critical")


def mails(installed: Path, *ends: outcomes.Outcome | None) -> list[str]:
    """Record a mail for each of these outcomes of its first attempt; None has none yet."""

    async def make() -> list[str]:
        made = []
        async with world.opened(settings.Settings(data_dir=installed)) as opened:
            async with opened.database.work(actor.TIMER) as w:
                person = await build.admin(w, await build.programme(w, code=f"p{len(await _all(w))}"))
            for end in ends:
                async with opened.database.work(actor.TIMER) as w:
                    values = {"person_id": str(person.id)}
                    made.append(await deliveries.mail(w, template="bounced", person=person, values=values))
                if end is not None:
                    async with opened.database.work(actor.TIMER) as w:
                        claim = await deliveries.claim(w, made[-1])  # type: ignore[arg-type]  # it was recorded
                        assert claim is not None
                        await deliveries.settle(w, claim, end, w.now, 1)
        return list(map(str, made))

    return asyncio.run(make())


async def _all(w: object) -> list[object]:
    return list((await w.sql(sa.text("SELECT id FROM delivery"))).all())  # type: ignore[attr-defined]


OURS = outcomes.Ours(None, "554 5.7.1 <address>: Relay access denied", 554, phase="rcpt")


def test_ft_22_an_operator_reads_why_a_mail_has_not_left_and_tries_it_again(installed: Path, run: Run) -> None:
    refused, ours, waiting = mails(installed, outcomes.Refused("550 5.1.1 no such user", 550), OURS, None)

    status, said, _ = run("list", "--state", "refused", "--json")
    assert status == 0
    assert [row["id"] for row in json.loads(said)] == [refused]
    status, said, _ = run("list", "--older-than", "1")
    assert (status, said) == (0, "")
    assert waiting in run("list")[1]
    assert run("list", "--person", "nobody@hospital.example")[1] == ""
    assert run("list", "--state", "lost")[0] == 1

    said = run("why", ours)[1]
    assert "see to that" in said
    assert "Relay access denied" in said
    assert "next attempt" in said
    told = json.loads(run("why", refused, "--json")[1])
    assert told["attempts"][0]["in_words"] == "the recipient's address is refused"
    assert told["mail"]["state"] == "refused"

    assert run("retry", refused)[1] == "It is tried now.\n"
    assert "waits" in run("why", refused)[1]
    assert run("retry", "--refused")[1] == "1 mails are tried now.\n"  # the one of our fault
    assert run("retry", "--all-dead")[1] == "0 mails are tried now.\n"
    assert run("retry", "--all-dead", "--refused")[0] == 1
    assert run("why", "00000000-0000-0000-0000-000000000000")[0] == 1
    acts = asyncio.run(_rows(installed, "SELECT action, details FROM audit WHERE action = 'resent' ORDER BY id"))
    assert [(row.action, row.details) for row in acts] == [
        ("resent", {}),
        ("resent", {"which": "refused", "count": 1}),
        ("resent", {"which": "dead", "count": 0}),
    ]


def test_ft_23_an_operator_holds_one_mail_or_all_and_lets_them_go(installed: Path, run: Run) -> None:
    (one,) = mails(installed, None)
    assert run("hold", one)[0] == 0
    assert run("hold", one)[0] == 1
    assert "held since" in run("why", one)[1]
    assert run("release", one)[0] == 0
    assert run("release", one)[0] == 1
    assert "until" in run("hold")[1]
    assert "already" in run("hold")[1]
    assert "all mail is held since" in run("why", one)[1]
    assert run("release")[1] == "Mail leaves again.\n"
    assert run("release")[1] == "No mail was held.\n"


async def _rows(installed: Path, statement: str) -> list[sa.Row[tuple[object, ...]]]:
    async with (
        world.opened(settings.Settings(data_dir=installed)) as opened,
        opened.database.work(actor.TIMER) as w,
    ):
        return list((await w.sql(sa.text(statement))).all())
