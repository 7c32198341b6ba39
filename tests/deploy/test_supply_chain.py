"""What the program is made of: listed, compared with what is known to be unsafe, and no more than it needs."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jose import backends

import advisories
import sbom
from deploying import DEPLOY, ROOT, TOOLS

RUN_LOCK = (ROOT / "requirements-run.lock").read_text()
LOCKED = {name: version for name, (version, _) in sbom.packages(RUN_LOCK).items()}
KNOWN = [json.loads(path.read_text()) for path in sorted((DEPLOY / "advisories").glob("*.json"))]


def test_one_module_knows_python_jose_and_its_one_backend_is_cryptography() -> None:
    knowing = set()
    for folder in ("service", "api", "integrations", "migrations"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                if any(name.split(".")[0] == "jose" for name in names):
                    knowing.add(path.relative_to(ROOT).as_posix())
    assert knowing == {"integrations/identity/jwt.py"}
    assert {backends.ECKey.__module__, backends.RSAKey.__module__} == {"jose.backends.cryptography_backend"}
    assert LOCKED.keys() & {"ecdsa", "rsa", "pyasn1"} == set()


def test_the_list_of_parts_names_every_package_of_the_lock_and_is_the_same_every_time() -> None:
    made = [
        subprocess.run(
            [sys.executable, "deploy/image/sbom.py", "requirements-run.lock", "api/__init__.py"],
            cwd=ROOT, capture_output=True, check=True,
        ).stdout
        for _ in range(2)
    ]  # fmt: skip
    assert made[0] == made[1]
    found: dict[str, Any] = json.loads(made[0])
    assert {one["name"]: one["version"] for one in found["components"]} == LOCKED
    references = [one["bom-ref"] for one in found["components"]] + [found["metadata"]["component"]["bom-ref"]]
    assert sorted(one["ref"] for one in found["dependencies"]) == sorted(references)
    needed = {name for one in found["dependencies"] for name in one["dependsOn"]}
    assert needed == {one["bom-ref"] for one in found["components"]}


@pytest.mark.drill
def test_cyclonedx_takes_the_list_of_parts() -> None:
    if not (TOOLS / "venv/bin/python").exists():
        pytest.skip("no cyclonedx-python-lib")
    check = (
        "import sys\nfrom cyclonedx.schema import SchemaVersion\n"
        "from cyclonedx.validation.json import JsonStrictValidator\n"
        "print(JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read()))"
    )
    text = json.dumps(sbom.document(RUN_LOCK, "0.2.0"))
    told = subprocess.run(
        [TOOLS / "venv/bin/python", "-c", check], input=text, capture_output=True, text=True, check=False
    )
    assert (told.stdout, told.returncode) == ("None\n", 0), told.stderr


def test_no_locked_package_is_known_to_be_unsafe() -> None:
    assert list(advisories.findings(KNOWN, LOCKED)) == []


@pytest.mark.parametrize(
    ("version", "is_affected"),
    [
        ("3.0.0", True),
        ("3.1.4", True),
        ("3.1.5", False),
        ("3.1.10", False),
        ("2.11", False),
        ("4", False),
        ("3.1.5rc1", False),
    ],
)
def test_a_version_is_affected_from_where_a_flaw_came_in_until_it_was_mended(
    version: str, *, is_affected: bool
) -> None:
    stretch = {"events": [{"introduced": "3.0.0"}, {"fixed": "3.1.5"}]}
    assert advisories.is_affected(version, {"ranges": [stretch]}) == is_affected


def test_a_flaw_that_nobody_mended_and_one_that_is_listed_are_found_and_one_withdrawn_is_not() -> None:
    package = {"ecosystem": "PyPI", "name": "Some_Thing"}
    for affected in ({"ranges": [{"events": [{"introduced": "0"}]}]}, {"versions": ["1.2"]}):
        advisory: dict[str, Any] = {"id": "X-1", "summary": "flawed", "affected": [affected | {"package": package}]}
        assert list(advisories.findings([advisory], {"some-thing": "1.2"})) == ["some-thing 1.2: X-1, flawed"]
        assert (
            list(advisories.findings([advisory | {"withdrawn": "2026-01-01T00:00:00Z"}], {"some-thing": "1.2"})) == []
        )
        assert list(advisories.findings([advisory], {"other": "1.2"})) == []


@pytest.mark.parametrize(("looked_at", "warns"), [("2020-01-01", True), ("2999-01-01", False)])
def test_a_list_that_nobody_has_looked_at_for_long_warns_and_a_match_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], looked_at: str, *, warns: bool
) -> None:
    (tmp_path / "looked-at").write_text(looked_at)
    (tmp_path / "lock").write_text("flawed==1.0 \\\n    --hash=sha256:0\n    # via pobratym\n")
    assert advisories.main(str(tmp_path), str(tmp_path / "lock")) == 0
    assert ("WARNING" in capsys.readouterr().out) == warns
    affected = {"package": {"ecosystem": "PyPI", "name": "flawed"}, "versions": ["1.0"]}
    (tmp_path / "X.json").write_text(json.dumps({"id": "X-1", "summary": "flawed", "affected": [affected]}))
    assert advisories.main(str(tmp_path), str(tmp_path / "lock")) == 1
    assert "X-1" in capsys.readouterr().out
