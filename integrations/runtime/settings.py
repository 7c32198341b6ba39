"""Every setting there is: environment variables with the prefix `POBRATYM_`.

`load` names all faults at once and never shows a secret. A variable that is not a setting is a fault too: it is
most likely a typing error, and the default it leaves behind would be silent.

pydantic checks the values; pydantic-settings is not used, since it looks only for names it knows (no typing error would
be told), and makes every `Settings(…)` read the environment: tried, it saved one line and needed more.
"""

import base64
import binascii
import contextlib
import importlib.util
import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from integrations import address_words, catalogues
from integrations.runtime import database_address
from service.kernel import clock, email_addresses
from service.rules import suspicious_text
from service.rules.figures import journal_columns

PREFIX = "POBRATYM_"
KEY_BYTES = 32
NO_DIRECT_WAY = (
    f"{PREFIX}DATABASE_DIRECT_URL must name the database past the pooler: a pooler that lends a connection for one"
    " transaction passes on no notices and holds no session, which the worker, `migrate` and `doctor` need"
)

_FEWEST_DISTINCT_BYTES = 8
_SHORTEST_TOKEN = 16
OWN_NAMES = frozenset({
    ".well-known", "a", "appointments", "calendar", "certificates", "consultations", "demo", "docs", "fhir", "health",
    "j", "metrics", "oauth2", "offers", "openapi.json", "operations", "pages", "people", "problems", "schemas",
    "sign-in", "sign-out", "v1",
})  # fmt: skip
"""How the addresses of the API and of the pages begin."""
_PATH = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)*")
_KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,32}")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")
_NAMED_SENDER = re.compile(r'([^<>@,;:\\"()\[\]\x00-\x1f\x7f]* )<([^<>]*)>')
_SENDS_TRACES = "opentelemetry.exporter.otlp.proto.http"
T = TypeVar("T")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class BadSettings(Exception):
    """Some settings are missing or wrong; `faults` names each, in words for whoever sets them."""

    def __init__(self, faults: list[str]) -> None:
        """Keep what is wrong; no fault quotes a secret."""
        super().__init__("\n".join(faults))
        self.faults = faults


def _items(value: object) -> object:
    return tuple(item.strip() for item in value.split(",") if item.strip()) if isinstance(value, str) else value


def _split(value: str) -> SplitResult:
    """Take an address apart; Python's own complaints quote it, password and all."""
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        msg = "is not an address; a password in it must be percent-encoded"
        raise ValueError(msg) from None
    return parts


def _database_url(value: SecretStr) -> SecretStr:
    database_address.parse(value.get_secret_value())
    return value


def _smtp_url(value: SecretStr) -> SecretStr:
    parts = _split(value.get_secret_value())
    if parts.scheme not in ("smtp", "smtp+starttls", "smtps") or not parts.hostname:
        msg = "must look like smtp://host:25, smtp+starttls://user:password@host:587 or smtps://user:password@host"
        raise ValueError(msg)
    return value


def _web_address(value: str) -> str:
    parts = _split(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        msg = "must be an http(s) address without query, such as https://pobratym.example"
        raise ValueError(msg)
    if "@" in parts.netloc:
        msg = "must hold no user and password: others read it"
        raise ValueError(msg)
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        msg = "must begin with https:// unless it is this machine"
        raise ValueError(msg)
    return value.rstrip("/")


def _base_url(value: str) -> str:
    address = _web_address(value)
    if not _PATH.fullmatch(urlsplit(address).path):
        msg = "must have a path of plain names if it has one, such as https://hospital.example/pobratym"
        raise ValueError(msg)
    first = urlsplit(address).path.split("/")[1:2]
    if first and first[0] in OWN_NAMES:  # whether a proxy had stripped the path could not be told
        msg = f"must not have a path that begins with /{first[0]}, as addresses of our own do"
        raise ValueError(msg)
    return address


def _room_url(value: str) -> str:
    if "{appointment_id}" not in value:
        msg = "must contain {appointment_id}, so that each appointment has its own room"
        raise ValueError(msg)
    _web_address(value.replace("{appointment_id}", "0"))
    return value


def _mail_from(value: str) -> str:
    sender = _NAMED_SENDER.fullmatch(value)
    name, address = sender.groups() if sender else ("", value)
    shown = name.strip(' "')
    fault = shown and (suspicious_text.fault_of_name(shown) or suspicious_text.doubt_of_name(shown))
    if fault:
        msg = f"the name before the address {fault}"
        raise ValueError(msg)
    try:
        address = email_addresses.carried(address, utf8=False)  # also to servers that carry no other letters
    except email_addresses.Refused as refused:
        fault = address_words.worded(refused, catalogues.of(catalogues.FALLBACK))
        msg = f"must look like Pobratym <no-reply@pobratym.example>. {fault}"
        raise ValueError(msg) from None
    return f"{name}<{address}>" if sender else address


def _host_or_network(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        try:
            ipaddress.ip_network(value)
        except ValueError:
            if not _HOST.fullmatch(value):
                msg = f"{value!r} is neither a host nor a network such as 127.0.0.0/8"
                raise ValueError(msg) from None
    return values


def _issuers(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_web_address(value) for value in values)


def _origins(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        parts = urlsplit(_web_address(value))
        default_port = {"https": 443, "http": 80}[parts.scheme]
        is_host = _HOST.fullmatch(parts.hostname or "") or ":" in (parts.hostname or "")
        is_plain = value == f"{parts.scheme}://{parts.netloc}".lower() and "@" not in value
        if not (is_plain and is_host) or parts.port == default_port:
            msg = f"{value!r} must be written as a browser sends it, such as https://hospital.example: no path, no *"
            raise ValueError(msg)
    return values


def _journal_columns(values: tuple[str, ...]) -> tuple[str, ...]:
    fault = journal_columns.unknown(values)
    if fault:
        raise ValueError(fault)
    return values


def _long_enough(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < _SHORTEST_TOKEN:
        msg = f"must have at least {_SHORTEST_TOKEN} characters"
        raise ValueError(msg)
    return value


def _known_keys(value: SecretStr) -> SecretStr:
    parse_keys(value.get_secret_value())
    return value


def parse_keys(text: str) -> dict[str, bytes]:
    """Read `id:base64url` pairs; raises ValueError naming the id, never the key, that is short, weak or twice there."""
    keys: dict[str, bytes] = {}
    for place, pair in enumerate(text.split(","), start=1):
        name, _, encoded = pair.strip().partition(":")
        if not _KEY_ID.fullmatch(name) or not encoded or name in keys:
            msg = f"key {place} must look like id:base64url, with an id of its own"
            raise ValueError(msg)
        try:
            key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != KEY_BYTES or len(set(key)) < _FEWEST_DISTINCT_BYTES:
            msg = f"the key {name!r} must be {KEY_BYTES} random bytes in base64url"
            raise ValueError(msg)
        keys[name] = key
    return keys


def _optional(check: Callable[[T], T]) -> Callable[[T | None], T | None]:
    return lambda value: None if value is None else check(value)


def _collector(value: str) -> str:
    try:
        is_installed = importlib.util.find_spec(_SENDS_TRACES) is not None
    except ModuleNotFoundError:
        is_installed = False
    if not is_installed:
        msg = "traces need a package that is not installed: pip install 'pobratym[otel]', or unset it"
        raise ValueError(msg)
    parts = _split(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        msg = "must be the address of a collector that takes OTLP over HTTP, such as http://127.0.0.1:4318"
        raise ValueError(msg)
    return value.rstrip("/")


_List = Annotated[tuple[str, ...], BeforeValidator(_items)]
_Milliseconds = Annotated[int, Field(ge=1, le=3_600_000)]
_PerMinute = Annotated[int, Field(ge=0, le=1_000_000)]
_Secret = SecretStr | None


class Settings(BaseModel):
    """The settings of this process. Made by `load`, passed in, never read from the environment again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_dir: Path = Path(".pobratym")
    database_url: Annotated[_Secret, AfterValidator(_optional(_database_url))] = None
    database_direct_url: Annotated[_Secret, AfterValidator(_optional(_database_url))] = None  # past the pooler
    database_read_url: Annotated[_Secret, AfterValidator(_optional(_database_url))] = None  # a replica, for reports
    database_pooler: Literal["none", "session", "transaction"] = "none"
    on_promotion: Literal["go", "hold"] = "go"  # hold when the write-ahead log begins a new timeline, until released
    statement_cache: Literal["on", "off"] = "on"  # off for a pooler in transaction mode that keeps no statements
    smtp_url: Annotated[_Secret, AfterValidator(_optional(_smtp_url))] = None
    base_url: Annotated[str, AfterValidator(_base_url)] = "http://127.0.0.1:8000"
    smtputf8: bool = False  # the mail server carries addresses in letters other than Latin
    secret_keys: Annotated[_Secret, AfterValidator(_optional(_known_keys))] = None
    mail_from: Annotated[str, AfterValidator(_mail_from)] = "Pobratym <no-reply@pobratym.example>"
    clock: Literal["system", "manual"] = "system"
    metrics_token: Annotated[_Secret, AfterValidator(_optional(_long_enough))] = None
    room_url: Annotated[str | None, AfterValidator(_optional(_room_url))] = None
    outbound_allow: Annotated[_List, AfterValidator(_host_or_network)] = ()
    cors_origins: Annotated[_List, AfterValidator(_origins)] = ()  # whose pages may read the API in a browser
    oidc_issuers: Annotated[_List, AfterValidator(_issuers)] = ()
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    worker_port: Annotated[int, Field(ge=0, le=65_535)] = 8001  # where a worker says how it is; 0: nowhere
    pool_size: Annotated[int, Field(ge=1, le=200)] = 10
    pool_timeout_ms: _Milliseconds = 5_000
    lock_timeout_ms: _Milliseconds = 2_000
    statement_timeout_ms: _Milliseconds = 5_000
    job_statement_timeout_ms: _Milliseconds = 60_000
    idle_in_transaction_timeout_ms: _Milliseconds = 15_000
    requests_per_minute: _PerMinute = 600  # of one caller; 0 lets everything in
    sign_ins_per_minute: _PerMinute = 30  # from one address; 0 lets everything in
    connections: Annotated[int, Field(ge=1, le=100_000)] = 800  # of one process at once
    head_seconds: Annotated[float, Field(gt=0, le=3_600)] = 10  # until the head of a request is whole
    answer_seconds: Annotated[float, Field(gt=0, le=3_600)] = 60  # until a client that reads nothing is given up
    body_seconds: Annotated[float, Field(gt=0, le=3_600)] = 10  # until a body has to come at its slowest pace
    otlp_endpoint: Annotated[str | None, AfterValidator(_optional(_collector))] = None  # where traces go; none if unset
    journal_columns: Annotated[_List, AfterValidator(_journal_columns)] = journal_columns.USUAL
    audit_days: Annotated[int, Field(ge=90, le=36_500)] = 1_827  # five years
    mail_days: Annotated[int, Field(ge=90, le=36_500)] = 400
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    def address(self) -> database_address.DatabaseAddress:
        """Give the address that requests use; only where the database is named by one."""
        if self.database_url is None:
            raise LookupError
        return database_address.parse(self.database_url.get_secret_value())

    def direct_address(self) -> database_address.DatabaseAddress:
        """Give the address past a pooler, for what listens or needs a session of its own."""
        if self.database_direct_url is None:
            return self.address()
        return database_address.parse(self.database_direct_url.get_secret_value())

    def read_address(self) -> database_address.DatabaseAddress | None:
        """Give the address of the replica for reports, if there is one; of several hosts a standby is taken first."""
        if self.database_read_url is None:
            return None
        return database_address.parse(self.database_read_url.get_secret_value(), several_hosts="prefer-standby")

    @property
    def pooler(self) -> str:
        """How a pooler before the database lends its connections: for a transaction, a session, or `none`."""
        is_told_by_address = self.database_url is not None and self.address().is_pooled
        return "transaction" if self.database_pooler == "none" and is_told_by_address else self.database_pooler

    def check_direct_way(self) -> None:
        """Go on only if a session of our own can be had; raises BadSettings."""
        if self.pooler == "transaction" and self.database_direct_url is None:
            raise BadSettings([NO_DIRECT_WAY])

    @property
    def is_embedded(self) -> bool:
        """Whether the database is our own, under the data directory."""
        return self.database_url is None

    @property
    def base_path(self) -> str:
        """The path under which everything is found, such as `/pobratym`; empty when it is a host of its own."""
        return urlsplit(self.base_url).path

    @property
    def mail_dir(self) -> Path:
        """The Maildir that takes the mail while no SMTP server is set."""
        return self.data_dir / "mail"

    @property
    def clock_offset_path(self) -> Path:
        """The file that shifts the time of every process of this data directory."""
        return self.data_dir / "clock-offset"

    @property
    def position_path(self) -> Path:
        """The file that tells which event of which database a worker of this machine saw last."""
        return self.data_dir / "event-position"

    @property
    def address_path(self) -> Path:
        """The file that names the address under which this data directory was served last."""
        return self.data_dir / "base-url"

    def keys(self) -> dict[str, bytes]:
        """Give the secret keys by id, the encrypting one first; with the embedded database made once if unset."""
        if self.secret_keys is not None:
            return parse_keys(self.secret_keys.get_secret_value())
        return parse_keys(_read_or_make(self.data_dir / "secret-keys"))


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read and check the settings; raises BadSettings with every fault there is. An empty variable is unset."""
    environment = {name.upper(): text for name, text in (os.environ if environ is None else environ).items()}
    ours = {name.removeprefix(PREFIX): text for name, text in environment.items() if name.startswith(PREFIX) and text}
    faults = _read_secret_files(ours)
    if environment.get("OTEL_EXPORTER_OTLP_ENDPOINT"):  # the name that every program knows
        ours.setdefault("OTLP_ENDPOINT", environment["OTEL_EXPORTER_OTLP_ENDPOINT"])
    setting_names = {name.upper() for name in Settings.model_fields}
    faults += [f"{PREFIX}{name} is not a setting" for name in sorted(ours.keys() - setting_names)]
    if "DATABASE_URL" in ours:
        if "SECRET_KEYS" not in ours:
            faults.append(f"{PREFIX}SECRET_KEYS must be set together with {PREFIX}DATABASE_URL")
        if ours.get("CLOCK") == "manual":
            faults.append(f"{PREFIX}CLOCK=manual is for the embedded database only")
    else:
        beside = [name for name in ("DATABASE_DIRECT_URL", "DATABASE_READ_URL") if name in ours]
        faults += [f"{PREFIX}{name} goes with {PREFIX}DATABASE_URL" for name in beside]
    try:
        settings = Settings.model_validate({name.lower(): text for name, text in ours.items() if name in setting_names})
    except ValidationError as error:
        faults += [_fault(str(fault["loc"][0]), fault["msg"]) for fault in error.errors(include_input=False)]
    if faults:
        raise BadSettings(faults)
    return _at_the_served_address(settings)


def _read_secret_files(ours: dict[str, str]) -> list[str]:
    """Put what is in the file that `<SECRET>_FILE` names in its place, and give the faults.

    Only what is secret may come so: systemd, Docker and Kubernetes hand secrets over as files, which no list of
    processes and no crash report shows.
    """
    faults = []
    for name in (name.upper() for name, about in Settings.model_fields.items() if about.annotation == _Secret):
        path = ours.pop(f"{name}_FILE", None)
        if path is None:
            continue
        if name in ours:
            faults.append(f"{PREFIX}{name} and {PREFIX}{name}_FILE are both set: one of them")
            continue
        try:
            text = Path(path).read_text().strip()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            faults.append(f"{PREFIX}{name}_FILE: {path} cannot be read: {reason}")
            continue
        if text:
            ours[name] = text
        else:
            faults.append(f"{PREFIX}{name}_FILE: {path} is empty")
    return faults


def remember_address(settings: Settings, port: int) -> None:
    """Have every process of the data directory use the address of the server that listens on this port.

    A token names the address as its issuer, and mails link to it: a command in another terminal must say the same.
    An address that was set stands. Nothing is remembered where the database is named by its address.
    """
    if not settings.is_embedded or not port:
        return
    is_set = "base_url" in settings.model_fields_set
    make_data_dir(settings.data_dir)
    unfinished = settings.address_path.with_suffix(f".{os.getpid()}")
    unfinished.write_text(settings.base_url if is_set else f"http://127.0.0.1:{port}")
    unfinished.replace(settings.address_path)


def _at_the_served_address(settings: Settings) -> Settings:
    if not settings.is_embedded or "base_url" in settings.model_fields_set:
        return settings
    with contextlib.suppress(OSError, ValueError):
        address = _base_url(settings.address_path.read_text().strip())
        # As `model_copy` does, but the field stays one that nobody set.
        return Settings.model_construct(settings.model_fields_set, **(vars(settings) | {"base_url": address}))
    return settings


def make_data_dir(path: Path) -> None:
    """Make the data directory if missing; nobody else reads it; for root, the embedded server's user passes through."""
    path.mkdir(parents=True, exist_ok=True, mode=0o711 if os.geteuid() == 0 else 0o700)


def _fault(name: str, message: str) -> str:
    return f"{PREFIX}{name.upper()}: {message.removeprefix('Value error, ')}"


def _read_or_make(path: Path) -> str:
    try:
        with contextlib.suppress(PermissionError):  # a copy, or `chmod -R`, may have opened it to others
            path.chmod(0o600)
        return path.read_text().strip()
    except FileNotFoundError:
        make_data_dir(path.parent)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    encoded = base64.urlsafe_b64encode(clock.random_bytes(KEY_BYTES)).decode().rstrip("=")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"k1:{encoded}\n")
    try:
        path.hardlink_to(unfinished)
    except FileExistsError:
        pass  # another process was quicker: its keys are the keys
    finally:
        unfinished.unlink()
    return path.read_text().strip()
