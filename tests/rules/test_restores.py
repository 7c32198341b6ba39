"""Cursors of any epoch, whatever was restored in whichever order, skip no event that exists."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.values import PROPERTY
from service.rules import restores
from service.rules.restores import FIRST, STEP, Cursor, Epoch, Identity


@dataclass
class Database:
    """A database as an operator restores it: the positions of its events, and its epochs."""

    positions: list[int] = field(default_factory=list)
    epochs: list[Epoch] = field(default_factory=lambda: [FIRST])

    def place(self, count: int, distance: int = 1) -> None:
        for _ in range(count):
            self.positions.append(max([*self.positions[-1:], self.epochs[-1].floor - 1, 0]) + distance)

    def copy(self) -> "Database":
        return Database(list(self.positions), list(self.epochs))

    def release(self, branch: int, *, tells: bool) -> None:
        epoch = restores.next_epoch(self.epochs[-1], max(self.positions, default=0), branch)
        self.epochs.append(epoch)
        if tells:
            self.positions.append(epoch.floor)


@dataclass
class Reader:
    """Whoever asks with the cursor of the answer before; `read` is what they have had, each event by itself."""

    cursor: Cursor = restores.BEGINNING
    read: set[tuple[int, int]] = field(default_factory=set)  # which history placed it, its position

    def ask(self, database: Database, names: dict[int, tuple[int, int]], limit: int) -> None:
        resumption = restores.resume(database.epochs, self.cursor)
        assert resumption is not None
        found = [position for position in database.positions if position > resumption.after.position][:limit]
        self.read |= {names[position] for position in found}
        self.cursor = restores.cursor_at(database.epochs, found[-1]) if found else resumption.after


steps = st.lists(
    st.one_of(
        st.tuples(st.just("place"), st.tuples(st.integers(1, 4), st.sampled_from([1, STEP]))),
        st.tuples(st.just("back up"), st.just(0)),
        st.tuples(st.just("ask"), st.tuples(st.integers(0, 1), st.integers(1, 3))),
        st.tuples(st.just("restore"), st.tuples(st.integers(0, 5), st.booleans())),
        st.tuples(st.just("promote"), st.integers(0, 3)),
    ),
    max_size=12,
)


@settings(PROPERTY, max_examples=4 * PROPERTY.max_examples)
@given(steps)
def test_ops_10_property_no_reader_ever_misses_an_event_that_exists(wanted: list[tuple[str, Any]]) -> None:
    database, serial = Database(), 0
    names: dict[int, tuple[int, int]] = {}
    backups = [(database.copy(), dict(names))]
    readers = [Reader(), Reader()]
    for branch, (step, how) in enumerate(wanted, start=1):
        if step == "place":
            database.place(*how)
        elif step == "back up":
            backups.append((database.copy(), dict(names)))
        elif step == "ask":
            readers[how[0]].ask(database, names, how[1])
        elif step == "promote":  # an asynchronous standby that lacks the last events
            database.positions = database.positions[: len(database.positions) - how]
            database.release(branch, tells=False)
        else:
            kept, named = backups[how[0] % len(backups)]
            database, names = kept.copy(), dict(named)
            database.release(branch, tells=how[1])
        for position in database.positions:
            if position not in names:
                serial += 1
                names[position] = (serial, position)
        names = {position: names[position] for position in database.positions}
    for reader in readers:
        for _ in range(2 * len(database.positions) + 2):
            reader.ask(database, names, 1)
        assert reader.read >= set(names.values())


LINE = [FIRST, Epoch(2, STEP, 20, branch=7), Epoch(3, 2 * STEP, STEP + 5, branch=8)]


@pytest.mark.parametrize(
    ("cursor", "after", "lost_after"),
    [
        ("20", "1.20.0", None),
        ("1.20", "1.20.0", None),
        ("21", "2.999999.7", "1.20.0"),
        ("1.40", "2.999999.7", "1.20.0"),
        ("1.2999999", "2.999999.7", "1.20.0"),  # further than what was placed since
        ("2.1000005.7", "2.1000005.7", None),
        ("2.1000006.7", "3.1999999.8", "2.1000005.7"),
        ("2.1000006", "3.1999999.8", "2.1000005.7"),
        ("3.2000000.8", "3.2000000.8", None),
        ("3.9223372036854775807", "3.9223372036854775807.8", None),
        ("2.1000005.9", "1.0.0", "1.0.0"),  # of another second epoch, restored away
        ("4.3000000.1", "1.0.0", "1.0.0"),
    ],
)
def test_ops_10_a_reader_goes_on_where_nothing_is_missed(cursor: str, after: str, lost_after: str | None) -> None:
    read = restores.read_cursor(cursor)
    assert read is not None
    resumption = restores.resume(LINE, read)
    assert resumption is not None
    assert str(resumption.after) == after
    assert (resumption.lost_after and str(resumption.lost_after)) == lost_after


@pytest.mark.parametrize("cursor", ["0.1", "4.3000000", "99.5", "9223372036854775807.1"])
def test_ops_10_an_epoch_that_never_was_is_not_gone_on_from(cursor: str) -> None:
    read = restores.read_cursor(cursor)
    assert read is not None
    assert restores.resume(LINE, read) is None


@pytest.mark.parametrize(
    "text",
    ["", ".", "-1", "1.-1", "1.", ".1", "9223372036854775808", "1.9223372036854775808", "1.2.3.4", "1e3", "\u0661"],
)
def test_ops_10_what_is_no_cursor_is_none(text: str) -> None:
    assert restores.read_cursor(text) is None


@pytest.mark.parametrize(("last", "position", "floor", "lost_after"), [
    (FIRST, 0, STEP, 0),
    (FIRST, 20, STEP, 20),
    (FIRST, STEP - 1, STEP, STEP - 1),
    (FIRST, STEP, 2 * STEP, STEP),
    (LINE[1], 20, 2 * STEP, STEP - 1),  # nothing was placed in it
    (LINE[1], 3 * STEP + 1, 4 * STEP, 3 * STEP + 1),
])  # fmt: skip
def test_ops_10_an_epoch_begins_at_the_next_million(last: Epoch, position: int, floor: int, lost_after: int) -> None:
    assert restores.next_epoch(last, position, 5) == Epoch(last.number + 1, floor, lost_after, 5)


HERE = Identity(7000, 16384, "00000001")


@pytest.mark.parametrize(
    ("there", "position", "holds_on_promotion", "reason"),
    [
        (HERE, 20, True, None),
        (HERE, 19, False, "events_missing"),
        (replace(HERE, system_identifier=7001), 20, False, "other_system"),
        (replace(HERE, database_oid=16385), 20, False, "other_database"),
        (replace(HERE, timeline="00000002"), 20, False, None),
        (replace(HERE, timeline="00000002"), 20, True, "other_timeline"),
        (replace(HERE, timeline="00000002"), 19, False, "events_missing"),
        (replace(HERE, system_identifier=None), 20, True, None),
        (replace(HERE, system_identifier=None, database_oid=16385), 20, True, "other_database"),
        (replace(HERE, timeline=None), 20, True, None),
        (replace(HERE, system_identifier=None, timeline=None), 19, True, "events_missing"),
    ],
)
def test_ops_10_a_database_that_is_another_or_has_gone_back_is_held(
    there: Identity, position: int, holds_on_promotion: bool, reason: str | None
) -> None:
    for one, other in ((HERE, there), (there, HERE)):
        held = restores.why_held(one, other, position=position, position_seen=20, holds_on_promotion=holds_on_promotion)
        assert held == reason
