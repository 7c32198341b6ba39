"""Docker's Compose reads what we give to it, and stops where something that must be set is not."""

import re
from pathlib import Path

import pytest
import yaml

from deploying import DEPLOY, ran
from integrations.runtime import settings

FILES = ["compose.yml", "small.yml"]
ALL = (DEPLOY / "compose" / "compose.yml").read_text()
ASKED = sorted(set(re.findall(r"\$\{(\w+):\?\}", ALL)))
TOLD = dict.fromkeys(ASKED, "told")


def config(name: str, told: dict[str, str], *options: str) -> tuple[int, str, str]:
    made = ran("docker-compose", "--file", DEPLOY / "compose" / name, "config", *options, settings=told.items())
    return made.returncode, made.stdout, made.stderr


@pytest.mark.parametrize("name", FILES)
def test_compose_takes_it(name: str) -> None:
    assert config(name, TOLD, "--quiet") == (0, "", "")


@pytest.mark.parametrize("missing", ASKED)
@pytest.mark.parametrize("name", FILES)
def test_what_must_be_set_and_is_not_stops_compose_and_is_named(name: str, missing: str) -> None:
    code, _, said = config(name, {key: text for key, text in TOLD.items() if key != missing}, "--quiet")
    assert code != 0
    assert missing in said


def test_a_misspelt_key_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "compose.yml").write_text(ALL.replace("restart: unless-stopped", "restrat: unless-stopped"))
    made = ran("docker-compose", "--file", tmp_path / "compose.yml", "config", "--quiet", settings=TOLD.items())
    assert made.returncode != 0
    assert "restrat" in made.stderr


@pytest.mark.parametrize("name", FILES)
def test_nothing_serves_before_the_schema_is_there_and_nothing_secret_has_a_default(name: str) -> None:
    code, printed, said = config(name, TOLD)
    assert (code, said) == (0, "")
    services = yaml.safe_load(printed)["services"]
    for service in services.keys() & {"api", "worker"}:
        waits = {other: about["condition"] for other, about in services[service]["depends_on"].items()}
        assert waits == {"db": "service_healthy", "migrate": "service_completed_successfully"}
    assert services["migrate"]["restart"] == "no"
    secrets = {"POBRATYM_DATABASE_PASSWORD", "POBRATYM_SECRET_KEYS", "POBRATYM_SMTP_URL", "POBRATYM_METRICS_TOKEN"}
    assert secrets <= set(ASKED)


def test_what_it_sets_are_settings() -> None:
    set_there = set(re.findall(r"^\s+POBRATYM_(\w+):", ALL, re.MULTILINE)) - {"HOST", "API"}
    assert set_there - {name.upper() for name in settings.Settings.model_fields} == set()
    assert set_there


def test_the_proxy_of_compose_reads_its_file() -> None:
    told = {"POBRATYM_HOST": "pobratym.example", "POBRATYM_API": "api:8000"}.items()
    made = ran("caddy", "validate", "--adapter", "caddyfile", "--config", DEPLOY / "proxy" / "Caddyfile", settings=told)
    assert made.returncode == 0, made.stderr
