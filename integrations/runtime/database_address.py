"""Reads the address of a database as libpq's users write it, once and for whoever connects (`connector`).

asyncpg's own reader is the base: it knows TLS, sockets, several hosts and session attributes. What it does not know it
would send to the server as a setting, which refuses it with words that mislead. So every parameter is named here: ours
are taken out, asyncpg's are passed on, and any other is a fault.
"""

import itertools
import os
import re
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

USUAL_PORT = 5432
KEEPALIVE = {"keepalives": 1, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
"""Seconds and counts for a TCP connection that says nothing, as libpq names them."""
TCP_USER_TIMEOUT_MS = 15_000

_SCHEMES = ("postgres", "postgresql", "postgresql+asyncpg")
_PERCENT = "in a user name or password, each of @ : / ? # % must be percent-encoded (%40 for @)"
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_TLS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "sslmode": _SSL_MODES,
    "sslnegotiation": ("postgres", "direct"),
    "ssl_min_protocol_version": _TLS,
    "ssl_max_protocol_version": _TLS,
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    "channel_binding": ("disable", "prefer"),
    "gssencmode": ("disable", "prefer"),
    "load_balance_hosts": ("disable", "random"),
    "pgbouncer": ("true", "false"),
}
_NUMBERS = ("connect_timeout", "tcp_user_timeout", *KEEPALIVE)
_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
_OF_ASYNCPG = {
    "sslmode", "sslnegotiation", "ssl_min_protocol_version", "ssl_max_protocol_version", "sslpassword",
    "target_session_attrs", "passfile", "service", "krbsrvname", "gsslib", *_FILES,
}  # fmt: skip
_OF_THE_SERVER = {"application_name", "options"}
_PLACES = {"host", "port", "user", "password", "dbname", "database"}
_KNOWN = _OF_ASYNCPG | _OF_THE_SERVER | _PLACES | set(_CHOICES) | set(_NUMBERS)
_SYSTEM = "system"  # for sslrootcert: the authorities that the operating system trusts
_VERIFYING = {"verify-ca", "verify-full"}
_PERCENTS = re.compile(r"%.{0,2}", re.DOTALL)
_OCTET = re.compile(r"%(?!00)[0-9A-Fa-f]{2}")
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_HIGHEST_PORT = 65_535


class BadAddress(ValueError):
    """The address cannot be used; the message names every fault and quotes no secret."""


@dataclass(frozen=True, slots=True)
class Host:
    """A name, an IP address or a socket's folder, and its port."""

    name: str
    port: int

    @property
    def is_socket(self) -> bool:
        """Whether it is a folder of this machine."""
        return self.name.startswith("/")

    def __str__(self) -> str:
        """Give it as a person names it."""
        return self.name if self.is_socket else f"{self.name}:{self.port}"


@dataclass(frozen=True, slots=True)
class DatabaseAddress:
    """Where the database is and how it is reached; never shown whole, as it holds the password.

    `connect_seconds` is for one host, None where nobody said; `keepalive` and `tcp_user_timeout_ms` are set on TCP
    sockets; `text` is the address as it was given, `dsn` what asyncpg reads of it: TLS and the like, but no host, user
    or password.
    """

    text: str = field(repr=False)
    hosts: tuple[Host, ...]
    user: str | None = field(repr=False)
    password: str | None = field(repr=False)
    database: str
    dsn: str = field(repr=False)
    session_attributes: str
    server_settings: Mapping[str, str]
    connect_seconds: float | None
    keepalive: Mapping[str, int]
    tcp_user_timeout_ms: int
    is_host_order_random: bool
    is_pooled: bool
    trusts_system: bool


def parse(text: str, *, several_hosts: str = "read-write") -> DatabaseAddress:
    """Read the address; raises BadAddress with every fault at once.

    Of several hosts the one with the attribute `several_hosts` is wanted, where the address does not say.
    """
    parts = _split(text)
    faults: list[str] = []
    given = _parameters(parts, faults)
    if given.get("sslrootcert") == _SYSTEM:
        _check_system_authorities(given, faults)
    hosts = _hosts(parts, given, faults)
    user, password = _credentials(parts)
    database = given.get("dbname") or given.get("database") or unquote(parts.path.lstrip("/"))
    if not database:
        faults.append("it names no database: postgresql://user:password@host:5432/database")
    if "sslmode" in given and given["sslmode"] in _VERIFYING | {"require"}:
        faults += _faults_of_files(given)
    if faults:
        raise BadAddress("; ".join(faults))
    seconds = float(given["connect_timeout"]) if int(given.get("connect_timeout", "0")) else None
    several = several_hosts if len(hosts) > 1 else "any"  # one of several is a standby
    return DatabaseAddress(
        text=text,
        hosts=hosts,
        user=given.get("user", user),
        password=given.get("password", password),
        database=database,
        dsn=_dsn(database, given),
        session_attributes=given.get("target_session_attrs", several),
        server_settings={name: given[name] for name in sorted(_OF_THE_SERVER & given.keys())},
        connect_seconds=seconds,
        keepalive={name: int(given.get(name, usual)) for name, usual in KEEPALIVE.items()},
        tcp_user_timeout_ms=int(given.get("tcp_user_timeout", TCP_USER_TIMEOUT_MS)),
        is_host_order_random=given.get("load_balance_hosts") == "random",
        is_pooled=given.get("pgbouncer") == "true",
        trusts_system=given.get("sslrootcert") == _SYSTEM,
    )


def check_percents(text: str) -> None:
    """Refuse an address with a `%` that stands for no octet: urllib would take it for itself, others do not.

    Raises ValueError, whose message quotes nothing.
    """
    is_whole = all(_OCTET.fullmatch(escape) for escape in _PERCENTS.findall(text))
    try:
        unquote(text, errors="strict")
    except UnicodeDecodeError:
        is_whole = False
    if not is_whole:
        msg = "a % must begin an octet of UTF-8 such as %40; a % that means itself is %25"
        raise BadAddress(msg)


def _split(text: str) -> SplitResult:
    """Take the address apart; urllib's own complaints quote it, password and all."""
    check_percents(text)
    try:
        parts = urlsplit(text)
        is_ours = parts.scheme in _SCHEMES and text.strip().startswith(f"{parts.scheme}://")
    except ValueError:
        raise BadAddress(f"it cannot be read: {_PERCENT}") from None
    if not is_ours:
        msg = "it must look like postgresql://user:password@host:5432/database"
        raise BadAddress(msg)
    is_torn = parts.netloc.count("@") > 1 or (
        "@" not in parts.netloc and ":" in parts.netloc and "@" in parts.path + parts.query + parts.fragment
    )
    if is_torn or parts.fragment:
        raise BadAddress(_PERCENT)
    return parts


def _parameters(parts: SplitResult, faults: list[str]) -> dict[str, str]:
    """Give the query's parameters by name, `host` and `port` joined where they are repeated."""
    given: dict[str, str] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        known_name = "sslmode" if name == "ssl" else name
        if known_name not in _KNOWN:
            faults.append(f"`{name[:40]}` is not a parameter")
        elif known_name in ("host", "port") and known_name in given:
            given[known_name] += f",{value}"
        elif known_name in given:
            faults.append(f"`{name}` stands twice")
        else:
            given[known_name] = value
    for name, choices in _CHOICES.items():
        if name in given and given[name] not in choices:
            written = "ssl (sslmode)" if name == "sslmode" and _names_ssl(parts) else name
            faults.append(f"{written} is one of {', '.join(choices)}{_why_not(name, given[name])}")
    for name in _NUMBERS:
        if name in given and not _PORT.fullmatch(given[name]):
            faults.append(f"{name} is a whole number")
            given[name] = "0"
    return given


def _names_ssl(parts: SplitResult) -> bool:
    return any(name == "ssl" for name, _ in parse_qsl(parts.query))


def _why_not(name: str, value: str) -> str:
    if value == "require" and name in {"channel_binding", "gssencmode"}:
        return f": the driver cannot prove {name}=require; use sslmode=verify-full"
    return ""


def _check_system_authorities(given: dict[str, str], faults: list[str]) -> None:
    """Anybody may have a certificate of a public authority: so the host's name must be in it, as libpq has it too."""
    if given.setdefault("sslmode", "verify-full") != "verify-full":
        faults.append("sslrootcert=system needs sslmode=verify-full")
    if "sslcert" in given:
        faults.append("sslcert needs a file as sslrootcert")


def _hosts(parts: SplitResult, given: Mapping[str, str], faults: list[str]) -> tuple[Host, ...]:
    """Give the hosts in their order, each with its port; none means the usual socket of this machine."""
    named = parts.netloc.rpartition("@")[2]
    default_port = given.get("port", "")
    if named.startswith(":") and "," not in named:  # only a port: the host follows as a parameter
        default_port, named = default_port or named[1:], ""
    pairs = [_host_and_port(item) for item in named.split(",")] if named else []
    if not pairs:
        pairs = [(name, "") for name in given.get("host", "").split(",") if name]
    ports = default_port.split(",") if default_port else []
    if len(ports) > 1 and len(ports) != len(pairs):
        faults.append(f"{len(pairs)} hosts, but {len(ports)} ports")
    default_ports: Iterable[str] = ports if len(ports) > 1 else itertools.repeat(default_port)
    hosts = []
    for (name, port), usual in zip(pairs, default_ports, strict=False):
        number = port or usual or str(USUAL_PORT)
        if not _PORT.fullmatch(number) or not 0 < int(number) <= _HIGHEST_PORT:
            faults.append(f"the port of {name} is not one")
        else:
            hosts.append(Host(name, int(number)))
    return tuple(hosts)


def _host_and_port(item: str) -> tuple[str, str]:
    if item.startswith("["):  # an IPv6 address
        name, _, port = item[1:].partition("]")
        return name, port.removeprefix(":")
    name, _, port = item.partition(":")
    return unquote(name), port


def _credentials(parts: SplitResult) -> tuple[str | None, str | None]:
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    return unquote(user) or None, unquote(password) or None


def _faults_of_files(given: Mapping[str, str]) -> list[str]:
    """Say which certificate or key cannot be used: here, because asyncpg would say so at each connection."""
    faults = []
    if given["sslmode"] in _VERIFYING and not (given.get("sslrootcert") or _has_usual_authority()):
        faults.append(f"sslmode={given['sslmode']} needs sslrootcert, a file or `system`")
    for name in _FILES:
        path = given.get(name)
        if path and path != _SYSTEM and not os.access(path, os.R_OK):
            faults.append(f"{name}: {path} cannot be read")
    if not faults:
        faults += _faults_of_tls(given)
    return faults


def _has_usual_authority() -> bool:
    return bool(os.environ.get("PGSSLROOTCERT")) or (Path.home() / ".postgresql" / "root.crt").exists()


def _faults_of_tls(given: Mapping[str, str]) -> list[str]:
    faults = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority, certificate = given.get("sslrootcert"), given.get("sslcert")
    if authority and authority != _SYSTEM:
        faults += _fault(
            f"sslrootcert: {authority} holds no certificate", lambda: context.load_verify_locations(authority)
        )
    if certificate:
        key, password = given.get("sslkey"), given.get("sslpassword", "")
        fault = f"sslcert and sslkey do not fit, or the key needs another sslpassword ({certificate})"
        faults += _fault(fault, lambda: context.load_cert_chain(certificate, key, lambda: password))
    return faults


def _fault(words: str, load: Callable[[], None]) -> list[str]:
    try:
        load()
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        return [words]
    return []


def _dsn(database: str, given: Mapping[str, str]) -> str:
    passed_on = {name: given[name] for name in sorted(_OF_ASYNCPG & given.keys())}
    passed_on.pop("target_session_attrs", None)  # asked for host by host
    if passed_on.get("sslrootcert") == _SYSTEM:  # asyncpg would look for a file of that name: given as a context
        passed_on = {name: value for name, value in passed_on.items() if name not in {"sslrootcert", "sslmode"}}
    return f"postgresql:///{quote(database, safe='')}?{urlencode(passed_on)}"
