"""What the bench keeps: ratios from release to release, and what it makes of them."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from bench import __main__ as bench
from bench import results
from bench.frame import Bench
from bench.table import Line, at_least, at_most, judged

FAST = at_least("P1 free time", "1 ms", "2 ms", 2.0, 1.5)
READ = at_most("P2 candidates", "6 ms", "1 ms", 5.0, 6)
FOUND = Line("   lost", "0", "", None, "0", is_met=True)
FREE = Line("   bare", "300/s", "", 3.0)


def kept(*lines: Line) -> results.Result:
    return results.Result.of("0.9", lines, today=date(2026, 11, 30), seconds=12.3)


def test_the_page_is_as_it_is_made_from_what_is_kept() -> None:
    text = results.PAGE.read_text()
    assert text == results.page(text, results.kept()), "python -m bench --docs"
    assert results.BEGIN in text
    assert results.END in text


def test_only_ratios_of_goals_are_kept_and_read_again(tmp_path: Path) -> None:
    made = kept(FAST, replace(READ, ratio=5.12345), FOUND, FREE)
    results.save(made, folder=tmp_path)
    assert results.kept(tmp_path) == [made]
    assert {name: one.ratio for name, one in made.figures.items()} == {
        "P1 free time": 2.0, "P2 candidates": 5.12, "lost": None,
    }  # fmt: skip
    assert "ms" not in (tmp_path / "0.9.json").read_text()


def test_parts_that_are_measured_again_take_their_places_in_what_is_kept(tmp_path: Path) -> None:
    failed = Line("growth", "failed: RuntimeError", is_met=False)
    results.save(kept(FAST, READ, failed), folder=tmp_path)
    results.save(kept(replace(READ, ratio=4.0), FOUND), ("candidates", "growth"), tmp_path)

    (found,) = results.kept(tmp_path)

    assert {name: one.ratio for name, one in found.figures.items()} == {
        "P1 free time": 2.0, "P2 candidates": 4.0, "lost": None,
    }  # fmt: skip
    assert "measured again: candidates, growth: commit " in results.table([found])


def test_what_is_more_than_a_tenth_worse_is_told_whichever_way_is_better() -> None:
    before = kept(FAST, READ, FOUND)
    assert results.flags([FAST, READ, FOUND], before) == []
    assert results.flags([replace(FAST, ratio=1.9), replace(READ, ratio=5.4)], before) == []
    assert results.flags([replace(FAST, ratio=3.0), replace(READ, ratio=2.0)], before) == []
    slower, more = results.flags([replace(FAST, ratio=1.5), replace(READ, ratio=6.0)], before)
    assert slower.startswith("P1 free time: 1.5, 33% worse than 2 at 0.9")
    assert more.startswith("P2 candidates: 6, 20% worse than 5 at 0.9")
    assert results.flags([replace(FAST, name="P1 renamed", ratio=0.1)], before) == []


def test_the_table_has_a_column_for_each_result_and_shows_what_was_missed() -> None:
    first, second = kept(FAST), replace(kept(replace(FAST, ratio=1.0, is_met=False), FOUND), name="1.0")
    rows = results.table([first, second]).splitlines()
    assert rows[0] == "| figure | goal | 0.9 | 1.0 |"
    assert "| P1 free time | >= 1.5 | 2 | **1** |" in rows
    assert "| lost | 0 |  | met |" in rows


def test_each_part_is_named_once_and_no_two_results_have_a_figure_by_two_goals() -> None:
    assert all(name.isidentifier() for name in bench.PARTS)
    goals: dict[str, set[str]] = {}
    for result in results.kept():
        for name, figure in result.figures.items():
            goals.setdefault(name, set()).add(figure.goal)
    assert {name: found for name, found in goals.items() if len(found) > 1} == {}


def test_each_goal_that_was_missed_is_told_with_the_reason_that_is_known() -> None:
    slow = at_most("P10 report", "9 ms", "2 ms", 4.5, 3, "The days that are open are counted.")
    lost = Line("   lost of 1000", "3", "", None, "0", is_met=False)
    failed = Line("mail", "failed: OSError", is_met=False)
    assert judged([FAST, FREE, at_most("P2", "1 ms", "1 ms", 1, 6, "never said")]) == "2 of 2 goals met, 0 missed."
    assert judged([FAST, FREE, slow, lost, failed]).splitlines() == [
        "1 of 4 goals met, 3 missed.",
        "- P10 report: 4.5, goal <= 3. The days that are open are counted.",
        "- lost of 1000: 3, goal 0. No reason is known: measure this part again, alone and on a quiet machine.",
        "- mail: failed: OSError. No reason is known: measure this part again, alone and on a quiet machine.",
    ]


async def test_a_part_that_fails_is_told_and_the_others_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_: Bench) -> list[Line]:
        raise OSError

    async def sound(_: Bench) -> list[Line]:
        return [FAST]

    monkeypatch.setattr(bench, "PARTS", {"broken": broken, "sound": sound})
    lines: list[Line] = []
    took: dict[str, float] = {}
    await bench.measure(["broken", "sound"], lines, took, quick=True)
    assert [line.name for line in lines] == ["broken", "P1 free time"]
    assert [*took] == ["to fill large databases", "broken", "sound"]
    assert [line.is_met for line in lines] == [False, True]
