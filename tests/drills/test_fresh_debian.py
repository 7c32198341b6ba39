"""Somebody who has nothing but a Debian follows docs/deploying.md, and sees the page over TLS."""

import re
import socket
import subprocess
from pathlib import Path

import pytest

import fresh_debian
from deploying import ROOT

PAGE = (ROOT / "docs" / "deploying.md").read_text()
WALK = PAGE.split("## From nothing to a served page over TLS with systemd")[1].split("\n## ")[0]
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", WALK, re.MULTILINE | re.DOTALL)


def taken(port: int) -> bool:
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.drill
def test_what_the_page_says_is_typed_and_the_page_is_served(folder: Path) -> None:
    if lacking := fresh_debian.missing():
        pytest.skip(f"no {lacking}")
    if busy := [port for port in (80, 443, 5432, 8000, 8001) if taken(port)]:
        pytest.skip(f"ports of this machine are taken: {busy}")
    with fresh_debian.booted(folder) as debian:
        unpacked = debian.root / "usr/local/src/pobratym"
        unpacked.mkdir(parents=True)
        tracked = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        names = subprocess.run(tracked, cwd=ROOT, capture_output=True, check=True).stdout
        pack = ["tar", "--create", "--null", "--files-from=-", "--ignore-failed-read"]
        packed = subprocess.run(pack, cwd=ROOT, input=names, capture_output=True, check=True).stdout
        subprocess.run(["tar", "--extract", "--directory", str(unpacked)], input=packed, check=True)
        (debian.root / "var/tmp/walk").write_text("set -euxo pipefail\n" + "\n".join(BLOCKS))

        walked = debian.run("bash", "/var/tmp/walk", seconds=3_600)
        (ROOT / ".cache" / "fresh-debian.log").write_text(walked.stdout)
        units = ("pobratym-serve", "pobratym-worker@1", "caddy", "pobratym-backup.timer")
        services = debian.run("systemctl", "is-active", *units)
        files = debian.run("sh", "-c", "ls /var/lib/pobratym-backup /var/lib/pobratym")
        said = debian.run("journalctl", "--no-pager", "--output=cat", "--unit=pobratym*").stdout
        process = debian.run("systemctl", "show", "--value", "--property=MainPID", "pobratym-serve").stdout.strip()
        environment = debian.run("cat", f"/proc/{process}/environ").stdout

    if walked.returncode:
        pytest.fail(walked.stdout[-3_000:] + said[-2_000:])
    assert "<title>" in walked.stdout
    assert services.stdout.split() == ["active"] * 4, said[-2_000:]
    assert re.search(r"pobratym-\S+\.dump", files.stdout)
    assert re.search(r"anchors-\S+\.json", files.stdout)
    assert "SECRET_KEYS_FILE" in environment
    assert "k1:" not in environment
