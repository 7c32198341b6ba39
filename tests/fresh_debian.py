"""A Debian made anew, in a folder, with its own systemd as the first process of its own namespaces.

It shares the network with the machine, so its ports have to be free; everything else is its own. Needs root.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploying import PATH, TOOLS

RELEASE = "bookworm"
NETWORK = (
    "/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf", "/etc/xdg/pip",
    "/etc/apt/sources.list.d/debian.sources", *os.environ.get("PIP_FIND_LINKS", "").split(),
)  # fmt: skip
"""How this machine reaches names and packages."""
TRUSTED = "/etc/ssl/certs/ca-certificates.crt"
BOOT = """
set -e
mount --make-rprivate /
mount --bind "$0" "$0"
mount -t proc proc "$0/proc"
mount --rbind /dev "$0/dev"
mount -t sysfs -o ro sysfs "$0/sys"
mount -t tmpfs tmpfs "$0/run"
mount -t tmpfs tmpfs "$0/sys/fs/cgroup"
mkdir "$0/sys/fs/cgroup/systemd"
mount -t cgroup -o none,name=systemd cgroup "$0/sys/fs/cgroup/systemd"
cd "$0"
mkdir -p machine
pivot_root . machine
umount -l machine
mount --make-rshared /
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=null
"""


def missing() -> str:
    """Say what is not here that this needs; nothing if all is."""
    for program in ("debootstrap", "unshare", "nsenter", "apt-get"):
        if shutil.which(program, path=PATH) is None:
            return program
    return "" if os.geteuid() == 0 else "root"


@dataclass
class Machine:
    """A booted Debian: where its root is, and which process of ours its first one is."""

    root: Path
    init: int

    def run(self, *command: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as root, and keep what it says."""
        inside = ["nsenter", "--target", str(self.init), "--mount", "--pid", "--uts", "--ipc", "--cgroup"]
        path = "PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
        clean = ["env", "-i", path, "HOME=/root", "DEBIAN_FRONTEND=noninteractive"]
        packages = [f"{name}={text}" for name, text in os.environ.items() if name.startswith("PIP_")]
        packages.append("PIP_CERT=/var/tmp/trusted.pem")
        return subprocess.run(
            [*inside, "--", *clean, *packages, *command],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False, timeout=seconds,
        )  # fmt: skip


def base() -> Path:
    """Give the folder of an untouched Debian, made once from the mirror that this machine uses."""
    root = TOOLS / "debian"
    if not root.exists():
        half = root.with_suffix(".half")
        shutil.rmtree(half, ignore_errors=True)
        asked = ["apt-get", "indextargets", "--format", "$(REPO_URI)"]
        mirror = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()[0]
        wanted = "--include=systemd,systemd-sysv,dbus,ca-certificates"
        made = ["debootstrap", "--variant=minbase", wanted, RELEASE, str(half), mirror]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL, env={"PATH": PATH})
        half.rename(root)
    return root


@contextmanager
def booted(folder: Path) -> Iterator[Machine]:
    """Boot a copy of the untouched Debian in the folder; it is killed and removed at the end."""
    root = folder / "root"
    subprocess.run(["cp", "--archive", "--reflink=auto", str(base()), str(root)], check=True)
    for path in NETWORK:
        if Path(path).is_dir():
            shutil.copytree(path, root / path[1:], dirs_exist_ok=True, symlinks=True)
        elif Path(path).exists():
            (root / path[1:]).parent.mkdir(parents=True, exist_ok=True)
            (root / path[1:]).unlink(missing_ok=True)
            shutil.copy(path, root / path[1:])
    shutil.copy(TRUSTED, root / "var/tmp/trusted.pem")  # its own are those of Debian, and updated under way
    spaces = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child"]
    outside = subprocess.Popen([*spaces, "sh", "-c", BOOT, str(root)], stdin=subprocess.DEVNULL)
    try:
        yield _once_up(Machine(root, _child(outside)))
    finally:
        outside.kill()
        outside.wait()


def _child(outside: subprocess.Popen[bytes]) -> int:
    children = Path(f"/proc/{outside.pid}/task/{outside.pid}/children")
    for _ in range(600):
        if outside.poll() is not None:
            break
        if found := children.read_text().split():
            return int(found[0])
        time.sleep(0.1)
    msg = "the new Debian has no first process"
    raise RuntimeError(msg)


def _once_up(machine: Machine) -> Machine:
    said = ""
    for _ in range(600):
        try:
            said = machine.run("systemctl", "is-system-running").stdout.strip()
        except ProcessLookupError:
            break
        if said in {"running", "degraded"}:
            return machine
        time.sleep(0.1)
    os.kill(machine.init, signal.SIGKILL)
    msg = f"the new Debian's systemd is not up: {said}"
    raise RuntimeError(msg)
