"""Every setting there is: environment variables with the prefix `POBRATYM_`.

`load` names all faults at once and never shows a secret. A variable that is not a setting is a fault too: it is
most likely a typing error, and the default it leaves behind would be silent.

pydantic checks the values; pydantic-settings is not used, since it looks only for names it knows (no typing error would
be told), and makes every `Settings(…)` read the environment: tried, it saved one line and needed more.
"""

import base64
import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from integrations.runtime import database_address, setting_faults
from integrations.runtime import setting_checks as checks
from service.kernel import clock
from service.rules.figures import journal_columns

PREFIX = "POBRATYM_"
NO_DIRECT_WAY = (
    f"{PREFIX}DATABASE_DIRECT_URL must name the database past the pooler: a pooler that lends a connection for one"
    " transaction passes on no notices and holds no session, which the worker, `migrate` and `doctor` need"
)


class BadSettings(Exception):
    """Some settings are missing or wrong; `faults` names each, in words for whoever sets them."""

    def __init__(self, faults: list[str]) -> None:
        """Keep what is wrong; no fault quotes a secret."""
        super().__init__("\n".join(faults))
        self.faults = faults


_List = Annotated[tuple[str, ...], BeforeValidator(checks.items)]
_Milliseconds = Annotated[int, Field(ge=1, le=3_600_000)]
_PerMinute = Annotated[int, Field(ge=0, le=1_000_000)]
_Secret = SecretStr | None
_DatabaseUrl = Annotated[_Secret, AfterValidator(checks.optional(checks.database_url))]


class Settings(BaseModel):
    """The settings of this process. Made by `load`, passed in, never read from the environment again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_dir: Annotated[Path, AfterValidator(checks.data_dir)] = Path(".pobratym")
    database_url: _DatabaseUrl = None
    database_direct_url: _DatabaseUrl = None  # past the pooler
    database_read_url: _DatabaseUrl = None  # a replica, for reports
    database_pooler: Literal["none", "session", "transaction"] = "none"
    on_promotion: Literal["go", "hold"] = "go"  # hold when the write-ahead log begins a new timeline, until released
    statement_cache: Literal["on", "off"] = "on"  # off for a pooler in transaction mode that keeps no statements
    smtp_url: Annotated[_Secret, AfterValidator(checks.optional(checks.smtp_url))] = None
    base_url: Annotated[str, AfterValidator(checks.base_url)] = "http://127.0.0.1:8000"
    smtputf8: bool = False  # the mail server carries addresses in letters other than Latin
    secret_keys: Annotated[_Secret, AfterValidator(checks.optional(checks.known_keys))] = None
    mail_from: Annotated[str, AfterValidator(checks.mail_from)] = "Pobratym <no-reply@pobratym.example>"
    clock: Literal["system", "manual"] = "system"
    live: Literal["listen", "poll", "off"] = "listen"  # how pages that are open hear of what changes
    sms_url: Annotated[str | None, AfterValidator(checks.optional(checks.gateway))] = None  # for text messages
    sms_token: Annotated[_Secret, AfterValidator(checks.optional(checks.token))] = None  # that the gateway asks for
    metrics_token: Annotated[_Secret, AfterValidator(checks.optional(checks.token))] = None
    room_url: Annotated[str | None, AfterValidator(checks.optional(checks.room_url))] = None
    outbound_allow: Annotated[_List, AfterValidator(checks.hosts_or_networks)] = ()
    cors_origins: Annotated[_List, AfterValidator(checks.origins)] = ()  # whose pages may read the API in a browser
    oidc_issuers: Annotated[_List, AfterValidator(checks.issuers)] = ()
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
    otlp_endpoint: Annotated[str | None, AfterValidator(checks.optional(checks.collector))] = None  # where traces go
    journal_columns: Annotated[_List, AfterValidator(checks.journal_column_names)] = journal_columns.USUAL
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
            return checks.parse_keys(self.secret_keys.get_secret_value())
        path = self.data_dir / "secret-keys"
        try:
            return checks.parse_keys(_read_or_make(path))
        except (OSError, ValueError) as error:
            fault = error.strerror if isinstance(error, OSError) else str(error)
            raise BadSettings([f"{path}: {fault}"]) from None


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read and check the settings; raises BadSettings with every fault there is.

    An empty variable is unset where nothing is a value (no mail server, no origins), and a fault elsewhere.
    """
    environment = os.environ if environ is None else environ
    ours, faults = _named_in_capitals(environment)
    faults += _read_secret_files(ours)
    if environment.get("OTEL_EXPORTER_OTLP_ENDPOINT"):  # the name that every program knows
        ours.setdefault("OTLP_ENDPOINT", environment["OTEL_EXPORTER_OTLP_ENDPOINT"])
    setting_names = {name.upper() for name in Settings.model_fields}
    faults += [f"{PREFIX}{name} is not a setting" for name in sorted(ours.keys() - setting_names)]
    faults += _drop_empty(ours)
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
        for fault in error.errors(include_input=False):
            name = str(fault["loc"][0])
            about, text = Settings.model_fields[name], ours[name.upper()]
            faults.append(f"{PREFIX}{name.upper()}: {setting_faults.worded(about, fault, text)}")
    if faults:
        raise BadSettings(faults)
    return _at_the_served_address(settings)


def _named_in_capitals(environment: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Give our variables without the prefix, and the faults: one in small letters would be read by no other program."""
    ours, faults = {}, []
    for name, text in sorted(environment.items()):
        if name.startswith(PREFIX) and name == name.upper():
            ours[name.removeprefix(PREFIX)] = text
        elif name.upper().startswith(PREFIX):
            faults.append(f"{name}: settings are named in capitals, {name.upper()}")
    return ours, faults


def _drop_empty(ours: dict[str, str]) -> list[str]:
    """Take out what is empty, and give the faults: a default that only seems to be replaced would be silent."""
    faults = []
    for name in [name for name, text in ours.items() if not text.strip()]:
        about = Settings.model_fields.get(name.lower())
        del ours[name]
        if about is not None and about.default not in (None, ()):
            faults.append(f"{PREFIX}{name}: {setting_faults.empty(about)}")
    return faults


def _read_secret_files(ours: dict[str, str]) -> list[str]:
    """Put what is in the file that `<SECRET>_FILE` names in its place, and give the faults.

    Only what is secret may come so: systemd, Docker and Kubernetes hand secrets over as files, which no list of
    processes and no crash report shows.
    """
    faults = []
    for name in (name.upper() for name, about in Settings.model_fields.items() if about.annotation == _Secret):
        path = ours.pop(f"{name}_FILE", "").strip()
        if not path:
            continue
        if ours.get(name):
            faults.append(f"{PREFIX}{name} and {PREFIX}{name}_FILE are both set: one of them")
            continue
        try:
            text = Path(path).read_text().strip()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            faults.append(f"{PREFIX}{name}_FILE: {_named(path)} cannot be read: {reason}")
            continue
        if text:
            ours[name] = text
        else:
            faults.append(f"{PREFIX}{name}_FILE: {_named(path)} is empty")
    return faults


def _named(path: str) -> str:
    """Name a file, unless it is rather the secret itself, put in the wrong place."""
    return "it" if set(path) & set(":@=") or not path.startswith(("/", ".")) else path


def remember_address(settings: Settings, port: int) -> Settings:
    """Give the settings at the address of the server that listens on this port.

    Every other process of the data directory has it from then on: a token names the address as its issuer, and mails
    link to it, so a command in another terminal must say the same. An address that was set stands. Nothing is
    remembered where the database is named by its address.
    """
    if not settings.is_embedded or not port:
        return settings
    is_set = "base_url" in settings.model_fields_set
    make_data_dir(settings.data_dir)
    unfinished = settings.address_path.with_suffix(f".{os.getpid()}")
    unfinished.write_text(settings.base_url if is_set else f"http://127.0.0.1:{port}")
    unfinished.replace(settings.address_path)
    return _at_the_served_address(settings)


def _at_the_served_address(settings: Settings) -> Settings:
    if not settings.is_embedded or "base_url" in settings.model_fields_set:
        return settings
    with contextlib.suppress(OSError, ValueError):
        address = checks.base_url(settings.address_path.read_text().strip())
        # As `model_copy` does, but the field stays one that nobody set.
        return Settings.model_construct(settings.model_fields_set, **(vars(settings) | {"base_url": address}))
    return settings


def make_data_dir(path: Path) -> None:
    """Make the data directory if missing; nobody else reads it; for root, the embedded server's user passes through."""
    path.mkdir(parents=True, exist_ok=True, mode=0o711 if os.geteuid() == 0 else 0o700)


def _read_or_make(path: Path) -> str:
    try:
        with contextlib.suppress(PermissionError):  # a copy, or `chmod -R`, may have opened it to others
            path.chmod(0o600)
        return path.read_text().strip()
    except FileNotFoundError:
        make_data_dir(path.parent)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    encoded = base64.urlsafe_b64encode(clock.random_bytes(checks.KEY_BYTES)).decode().rstrip("=")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"k1:{encoded}\n")
    try:
        path.hardlink_to(unfinished)
    except FileExistsError:
        pass  # another process was quicker: its keys are the keys
    finally:
        unfinished.unlink()
    return path.read_text().strip()
