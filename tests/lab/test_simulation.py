"""Many seeds beside each other: same arguments, same bytes; a band where there is one; a picture that stays small."""

import hashlib
import json
import math
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest

from lab import measures, picture, rehearse, report, simulation
from lab.behaviours import MODELS
from lab.policies import POLICIES
from lab.simulation import Plan, Unknown
from lab.worlds import Setting
from service.rules import policy as policies

ROOT = Path(__file__).resolve().parents[2]
TINY = ["--seeds", "2", "--days", "7", "--requests", "12", "--policy", "before,now", "--behaviour", "clock,sleep"]
SIMULATE = "from api.cli.main import main; main()"


def plan(**fields: object) -> Plan:
    defaults: dict[str, object] = {
        "setting": Setting("published", "even", 7, 12),
        "seed": 1,
        "seeds": 2,
        "behaviours": ("clock",),
        "policies": (POLICIES["before"], POLICIES["now"]),
        "with_bound": False,
    }
    return Plan(**(defaults | fields))  # type: ignore[arg-type]


def simulated(out: Path, hash_seed: str, processes: str) -> str:
    command = [sys.executable, "-c", SIMULATE, "simulate", *TINY, "--processes", processes, "--out", str(out)]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    written = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.iterdir())}
    assert set(written) == {"figures.csv", "runs.csv", "fits.csv", "year.svg", "manifest.json"}
    return json.dumps({"table": done.stdout, **written}, sort_keys=True)


@pytest.mark.slow
def test_same_arguments_give_the_same_bytes_whatever_the_hash_seed_and_the_processes(tmp_path: Path) -> None:
    first = simulated(tmp_path / "first", "0", "1")
    assert simulated(tmp_path / "second", "1", "1") == first
    assert simulated(tmp_path / "third", "4242", "2") == first


def test_the_manifest_names_what_the_figures_depend_on() -> None:
    chosen = plan()
    results = simulation.run(chosen)
    written = report.files(chosen, results, simulation.figures(chosen, results))
    manifest = json.loads(written["manifest.json"])
    assert manifest["sha256"] == {
        name: hashlib.sha256(text.encode()).hexdigest() for name, text in written.items() if name != "manifest.json"
    }
    assert manifest["arguments"]["policies"] == ["before", "now"]
    assert manifest["worlds"].keys() == {"1", "2"}
    assert len({manifest["rules_sha256"], manifest["lab_sha256"], manifest["specialties_sha256"]}) == 3


def test_one_seed_prints_no_band_and_says_why() -> None:
    alone = plan(seeds=1)
    figures = simulation.figures(alone, simulation.run(alone))
    printed = report.table(alone, figures)
    assert report.ONE_SEED in printed
    assert "±" not in printed.split("\n", 2)[2]
    assert all(figure.band.low is None for figure in figures)
    assert report.NO_BOUND in printed  # a line where OR-tools is not there


def test_the_difference_to_the_first_policy_is_taken_seed_by_seed() -> None:
    chosen = plan()
    results = simulation.run(chosen)
    rows = {(each.policy, each.code): each for each in simulation.figures(chosen, results)}
    own = [result.measured["clock", "now"].figures["offers"] for result in results]
    first = [result.measured["clock", "before"].figures["offers"] for result in results]
    difference = rows["now", "offers"].difference
    assert difference
    assert math.isclose(difference.mean, sum(own) / 2 - sum(first) / 2)
    assert rows["before", "offers"].difference is None


def test_the_picture_of_everything_has_no_script_and_stays_small() -> None:
    curve, load = [place / 28 for place in range(29)], [place / 20 for place in range(21)]
    everything = {name: dict.fromkeys((*POLICIES, simulation.BOUND), (curve, load)) for name in MODELS}
    svg = picture.draw(everything)
    assert len(svg.encode()) <= 30_000
    assert svg.startswith("<svg ")
    assert "<script" not in svg
    assert picture.draw({"clock": {"a<b": ((), load)}}).count("a&lt;b") == 1


@pytest.mark.parametrize(
    ("kind", "ask"),
    [
        ("policy", lambda: simulation.policies_named(["now", "nwo"])),
        ("behaviour", lambda: simulation.behaviours_named(["clck"])),
        ("shape", lambda: simulation.shape_named("thick")),
    ],
)
def test_an_unknown_name_is_told_with_those_that_there_are(kind: str, ask: object) -> None:
    known = {"policy": POLICIES, "behaviour": MODELS, "shape": ["published", "dense"]}[kind]
    with pytest.raises(Unknown) as error:
        ask()  # type: ignore[operator]
    assert all(name in str(error.value) for name in known)


def test_how_cases_are_spread_is_as_the_report_defines_it() -> None:
    assert measures._spread([0, 0, 0, 4]) == {"gini": 0.75, "top_quarter": 100}
    assert measures._spread([0, 1, 1, 2, 4]) == {"gini": pytest.approx(0.45), "top_quarter": 75}  # two of five
    assert measures._spread([]) == measures._spread([0, 0]) == {"gini": 0, "top_quarter": 0}
    assert measures._load_curve([0, 1, 1, 2])[5] == 0.5
    assert measures.band([2.0, 4.0]).mean == 3
    assert measures.band([math.inf, 1.0]).low is None


def test_an_estimate_sets_new_numbers_beside_those_in_force() -> None:
    new = policies.from_overrides({"priorities": {"routine": {"per_wave": 3}}})
    small = {"days": 20, "requests": 40}
    estimates = rehearse.estimate(policies.DEFAULT, new, "published", 2, ["sleep"], **small)
    assert (estimates.seeds, [each.name for each in estimates.figures]) == (2, list(rehearse.SHOWN))
    (offers,) = (each for each in estimates.figures if each.name == "offers")
    assert offers.new.mean > offers.now.mean  # type: ignore[operator]
    assert math.isclose(offers.change.mean, offers.new.mean - offers.now.mean)  # type: ignore[arg-type, operator, union-attr]
    assert offers.new.low < offers.new.mean < offers.new.high  # type: ignore[operator]
    same = rehearse.estimate(policies.DEFAULT, policies.DEFAULT, "published", 2, ["sleep"], **small)
    assert {each.change.mean for each in same.figures if each.change} <= {0.0, None}


def test_an_estimate_is_asked_for_and_told_as_json() -> None:
    told = StringIO()
    question = {"now": {}, "new": {"hold_minutes": 20}, "shape": "dense", "seeds": 1, "behaviours": ["clock"]}
    rehearse.main(StringIO(json.dumps(question | {"days": 7, "requests": 10})), told)
    estimates = json.loads(told.getvalue())
    assert (estimates["shape"], estimates["days"], estimates["requests"], estimates["seeds"]) == ("dense", 7, 10, 1)
    figures = {each["name"]: each for each in estimates["figures"]}
    assert figures.keys() == set(rehearse.SHOWN)
    assert figures["offers"]["now"] == figures["offers"]["new"]
    assert figures["offers"]["now"].keys() == {"mean", "low", "high"}
    assert figures["offers"]["change"]["mean"] == 0
