"""G7: the bookable times of a hospital's 50 mentors, beside other people's programs on the very same workload.

`peers/workload.json` is the workload of P1 fifty times over, of fifty seeds, the first of them P1's own: what is booked
is [minutes since `from`, minutes]. `peers/slots.js` runs Cal.com's functions, which npm installs into a folder of the
run, and the same formula over Temporal. No code of theirs is here, and where the numbers of slots differ, nothing is
compared. Medplum's `$find` is left out: npm has its client, not the server that does it.
"""

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from bench.table import Line, at_least, ms
from service.rules.time import availability
from service.rules.time.availability import Hours, Weekly
from service.rules.time.intervals import Interval

_PEERS = Path(__file__).with_name("peers")
_GOAL = 0.0001
_NAME = "G7 times of a hospital, 50 mentors, 30 days: a mentor's processor time"
_CAL, _TEMPORAL = "cal", "temporal"
_NAMES = {
    _CAL: "G7 against Cal.com's slot core (node)",
    _TEMPORAL: "   the same formula over Temporal (node), our words",
}
MENTORS = 50
_TURN = 10
"""Mentors in a turn of a peer, which needs a hundred times as long."""


class LeftOut(Exception):
    """Why nobody else's program runs here."""


@dataclass(frozen=True, slots=True)
class Workload:
    """The hospital: when its mentors work and each of them is busy, and which times are looked for."""

    hours: Hours
    busy: list[list[Interval]]
    window: Interval
    minutes: int
    step_minutes: int

    @classmethod
    def read(cls) -> "Workload":
        """Read the file that the peers read."""
        said = json.loads((_PEERS / "workload.json").read_text())
        began, blocked = datetime.fromisoformat(said["from"]), said["blocked_minutes"]
        weekly = (Weekly(day - 1, said["from_minute"], said["until_minute"]) for day in said["weekdays"])

        def busy(start: int, length: int) -> Interval:
            return began + timedelta(minutes=start - blocked), began + timedelta(minutes=start + length + blocked)

        return cls(
            Hours(said["zone"], tuple(weekly)),
            [[busy(*each) for each in booked] for booked in said["booked"]],
            (began, began + timedelta(days=said["days"])),
            said["slot_minutes"],
            said["step_minutes"],
        )

    def slots(self, mentors: int) -> int:
        """Count the bookable times of so many mentors."""
        found = (
            availability.starts(self.hours, busy, self.window, self.minutes, 0, self.step_minutes)
            for busy in self.busy[:mentors]
        )
        return sum(map(len, found))


class Node:
    """The peers' process: one turn of one program at a time, so that turns can be taken with ours."""

    def __init__(self, running: "subprocess.Popen[str]") -> None:
        """Ask this process."""
        self._running = running

    def turn(self, program: str, mentors: int) -> tuple[int, float]:
        """Have the program find the slots of so many mentors; gives how many, and the seconds a mentor."""
        assert self._running.stdin
        assert self._running.stdout
        self._running.stdin.write(json.dumps({"program": program, "mentors": mentors}) + "\n")
        self._running.stdin.flush()
        said: dict[str, Any] = json.loads(self._running.stdout.readline() or '{"fault": "node has ended"}')
        if "fault" in said:
            raise LeftOut(said["fault"])
        return said["slots"], said["seconds"] / mentors


@contextmanager
def _peers() -> Iterator[Node]:
    """Have the peers installed and running until the block ends; raises LeftOut."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if not (npm and node):
        raise LeftOut("node or npm is not installed")
    with tempfile.TemporaryDirectory(prefix="pobratym-bench-peers-") as folder:
        shutil.copytree(_PEERS, folder, dirs_exist_ok=True)
        done = subprocess.run([npm, "ci", "--ignore-scripts", "--silent"], cwd=folder, capture_output=True, check=False)
        if done.returncode:
            raise LeftOut("npm found no way to the peers' packages")
        command = [node, "slots.js", "workload.json"]
        with subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
            yield Node(running)
            running.communicate()


def _beside(node: Node, program: str, slots: int, rounds: int, ours: Callable[[], float]) -> Line:
    """Compare with one peer, once both have found the same number of slots."""
    theirs, _ = node.turn(program, MENTORS)
    name = f"{_NAMES[program]}, {theirs:,} slots"
    if theirs != slots:
        return Line(name, f"invalid: {slots:,} here", is_met=False)
    turns = [(ours(), node.turn(program, _TURN)[1]) for _ in range(rounds)]
    here, there = median(own for own, _ in turns), median(other for _, other in turns)
    if program == _CAL:
        return at_least(name, ms(here), ms(there), there / here, 60)
    return Line(name, ms(here), ms(there), there / here)


def lines(rounds: int) -> list[Line]:
    """Measure ours, and each peer in turns with it."""
    work = Workload.read()
    slots = work.slots(MENTORS)
    own: list[float] = []  # processor time: whatever else runs on the machine is not ours

    def ours() -> float:
        began, began_own = time.perf_counter(), time.process_time()
        for _ in range(5):
            work.slots(MENTORS)
        own.append((time.process_time() - began_own) / 5 / MENTORS)
        return (time.perf_counter() - began) / 5 / MENTORS

    try:
        with _peers() as node:
            beside = [_beside(node, program, slots, rounds, ours) for program in _NAMES]
    except LeftOut as why:
        for _ in range(rounds * 3):
            ours()
        beside = [Line(name, f"LEFT OUT: {why}") for name in _NAMES.values()]
    took = median(own)
    return [Line(_NAME, ms(took), "", None, "<= 0.1 ms", took <= _GOAL), *beside]
