"""Every alarm has rung in a test, has a heading in the runbook, and asks for figures that we give."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.edge import metrics
from deploying import DEPLOY, ROOT, ran

PROMETHEUS = DEPLOY / "prometheus"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"] for rule in group["rules"]
]
DASHBOARD = json.loads((DEPLOY / "grafana" / "pobratym.json").read_text())
ALERTMANAGER = DEPLOY / "alertmanager" / "alertmanager.yml"
GRAFANAS_OWN = {"${source}"}


def anchors(page: str) -> set[str]:
    """Give the anchors of a page's headings, as a reader of Markdown makes them."""
    heads = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in heads}


def given() -> set[str]:
    """Name every series that `/metrics` has, those of a histogram and of a counter by their endings."""
    names = {"up"}  # Prometheus' own, of each scrape
    for family in metrics.REGISTRY.collect():
        endings = {"histogram": ("_bucket", "_count", "_sum"), "counter": ("_total",)}.get(family.type, ("",))
        names |= {family.name + ending for ending in endings}
    return names


def asked(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:pobratym_\w+|up)\b(?=[{\[) ])", expression + " "))


def test_prometheus_takes_the_rules_and_every_alarm_rings_once_and_is_silent_once() -> None:
    checked = ran("promtool", "check", "rules", PROMETHEUS / "rules.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tried = ran("promtool", "test", "rules", PROMETHEUS / "rules.test.yml")
    assert tried.returncode == 0, tried.stdout + tried.stderr

    tests = yaml.safe_load((PROMETHEUS / "rules.test.yml").read_text())["tests"]
    told = {
        one["alertname"]: {bool(other["exp_alerts"]) for test in tests for other in test["alert_rule_test"]
                           if other["alertname"] == one["alertname"]}
        for test in tests for one in test["alert_rule_test"]
    }  # fmt: skip
    assert told == {rule["alert"]: {False, True} for rule in RULES}


def test_prometheus_takes_what_to_scrape() -> None:
    checked = ran("promtool", "check", "config", PROMETHEUS / "prometheus.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alarm_leads_to_its_heading_in_the_runbook(rule: dict[str, Any]) -> None:
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    text = (ROOT / page).read_text()
    assert anchor == rule["alert"].lower()
    assert anchor in anchors(text)
    (section,) = [part for part in re.split(r"^## ", text, flags=re.MULTILINE) if part.startswith(f"{rule['alert']}\n")]
    assert [word for word in ("**Seen**", "**Safe**", "**Tell**") if word not in section] == []
    commands = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert [len(block.splitlines()) for block in commands] == [3]
    assert rule["labels"]["severity"] in {"page", "task"}


def test_the_runbook_has_no_heading_of_an_alarm_that_is_not_there() -> None:
    heads = re.findall(r"^## (\w+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)
    assert sorted(heads) == sorted(rule["alert"] for rule in RULES)


def test_every_figure_that_is_asked_for_is_given() -> None:
    expressions = [rule["expr"] for rule in RULES]
    expressions += [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    assert set().union(*map(asked, expressions)) - given() == set()


@pytest.mark.parametrize(("labels", "receiver"), [("severity=page", "page"), ("severity=task", "task")])
def test_alertmanager_takes_its_file_and_knows_whom_to_tell(labels: str, receiver: str) -> None:
    checked = ran("amtool", "check-config", ALERTMANAGER)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    routed = ran("amtool", "config", "routes", "test", f"--config.file={ALERTMANAGER}", labels)
    assert (routed.returncode, routed.stdout.split()) == (0, [receiver])


def test_an_alarm_that_silences_others_names_alarms_that_are_there() -> None:
    inhibited = yaml.safe_load(ALERTMANAGER.read_text())["inhibit_rules"]
    named = re.findall(r"[A-Z]\w+", " ".join(text for one in inhibited for texts in one.values() for text in texts))
    assert set(named) - {rule["alert"] for rule in RULES} == set()


def test_the_dashboards_panels_are_numbered_once_and_lie_beside_each_other() -> None:
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)
    assert len(set(places)) == len(places)
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} == GRAFANAS_OWN


def test_prometheus_understands_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{panel['id']}:{target['refId']}", "expr": target["expr"]}
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
    ]
    path = tmp_path / "dashboard.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    checked = ran("promtool", "check", "rules", path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
