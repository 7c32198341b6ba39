"""The image's steps, taken twice, give the same files to the last bit, as far as a machine without an engine shows."""

import hashlib
import importlib.machinery
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from deploying import DEPLOY


def script() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("image_steps", str(DEPLOY / "image" / "as-script"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[loader.name] = module
    loader.exec_module(module)
    return module


def digests(root: Path) -> dict[str, str]:
    """Give what each file of the tree hashes to, and of the tree as an engine would pack it with one time for all."""
    packing = ["tar", "--create", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "."]
    packed = subprocess.run(packing, cwd=root, capture_output=True, check=True).stdout
    files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    found = {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return found | {"the layer": hashlib.sha256(packed).hexdigest()}


@pytest.mark.drill
def test_two_builds_of_the_image_are_the_same(folder: Path) -> None:
    made = []
    for _ in range(2):
        stage = script().build(folder / "root")  # the same place: an environment of Python names its own
        made.append(digests(stage.root))
        shutil.rmtree(folder / "root")
    assert {name for name in made[0] if made[0][name] != made[1].get(name)} == set()
    assert made[0].keys() == made[1].keys()
    assert "opt/pobratym/sbom.cdx.json" in made[0]
    assert any(name.endswith(".pyc") for name in made[0])
