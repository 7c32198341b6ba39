"""Checks of the settings that have a form of their own.

Each gives the value as it is kept, or raises ValueError with what it must be. No message quotes a secret.
"""

import base64
import binascii
import importlib.util
import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr

from integrations import address_words, catalogues
from integrations.runtime import database_address, setting_faults
from service.kernel import email_addresses
from service.rules import suspicious_text
from service.rules.figures import journal_columns

KEY_BYTES = 32
OWN_NAMES = frozenset({
    ".well-known", "a", "appointments", "calendar", "certificates", "consultations", "demo", "docs", "fhir",
    "health", "hours", "j", "kept", "language", "live", "manifest.webmanifest", "metrics", "mine", "oauth2",
    "offers", "offline", "openapi.json", "operations", "pages", "people", "policy", "problems", "profile",
    "programmes", "schemas", "sessions", "sign-in", "sign-out", "specialties", "sw.js", "v1",
})  # fmt: skip
"""How the addresses of the API and of the pages begin."""
_FEWEST_DISTINCT_BYTES = 8
_PATH = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)*")
_KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,32}")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")
_NAMED_SENDER = re.compile(r'([^<>@,;:\\"()\[\]\x00-\x1f\x7f]* )<([^<>]*)>')
_TOKEN = re.compile(r"[!-~]{16,}")
_SENDS_TRACES = "opentelemetry.exporter.otlp.proto.http"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
T = TypeVar("T")


def items(value: object) -> object:
    """Take a text apart at its commas."""
    return tuple(item.strip() for item in value.split(",") if item.strip()) if isinstance(value, str) else value


def _split(value: str) -> SplitResult:
    """Take an address apart; Python's own complaints quote it, password and all."""
    database_address.check_percents(value)
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        msg = "is not an address; a password in it must be percent-encoded"
        raise ValueError(msg) from None
    return parts


def data_dir(value: Path) -> Path:
    """Take a folder."""
    if str(value).startswith("~"):
        msg = f"{setting_faults.shown(str(value))} must be a path without ~, which only a shell understands"
        raise ValueError(msg)
    return value


def database_url(value: SecretStr) -> SecretStr:
    """Take the address of a database."""
    database_address.parse(value.get_secret_value())
    return value


def smtp_url(value: SecretStr) -> SecretStr:
    """Take the address of a mail server."""
    parts = _split(value.get_secret_value())
    is_plain = parts.path in ("", "/") and not parts.query and not parts.fragment
    if parts.scheme not in ("smtp", "smtp+starttls", "smtps") or not parts.hostname or not is_plain:
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


def base_url(value: str) -> str:
    """Take the address people use, without a slash at its end."""
    address = _web_address(value)
    if not _PATH.fullmatch(urlsplit(address).path):
        msg = "must have a path of plain names if it has one, such as https://hospital.example/pobratym"
        raise ValueError(msg)
    first = urlsplit(address).path.split("/")[1:2]
    if first and first[0] in OWN_NAMES:  # whether a proxy had stripped the path could not be told
        msg = f"must not have a path that begins with /{first[0]}, as addresses of our own do"
        raise ValueError(msg)
    return address


def room_url(value: str) -> str:
    """Take the pattern of a room's address."""
    if "{appointment_id}" not in value:
        msg = "must contain {appointment_id}, so that each appointment has its own room"
        raise ValueError(msg)
    _web_address(value.replace("{appointment_id}", "0"))
    return value


def gateway(value: str) -> str:
    """Take the address of a gateway for text messages."""
    _web_address(value)
    return value


def mail_from(value: str) -> str:
    """Take the address of a sender, with a name before it if there is one."""
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


def hosts_or_networks(values: tuple[str, ...]) -> tuple[str, ...]:
    """Take hosts and networks."""
    for value in values:
        try:
            network = ipaddress.ip_network(value, strict=False)
        except ValueError:
            if not _HOST.fullmatch(value):
                named = setting_faults.shown(value)
                msg = f"{named} is neither a host nor a network such as 127.0.0.0/8: no scheme, no port, no *"
                raise ValueError(msg) from None
        else:
            if "/" in value and str(network.network_address) != str(ipaddress.ip_address(value.partition("/")[0])):
                msg = f"{setting_faults.shown(value)} is no network; is it {network}?"
                raise ValueError(msg)
    return values


def issuers(values: tuple[str, ...]) -> tuple[str, ...]:
    """Take web addresses."""
    return tuple(_web_address(value) for value in values)


def origins(values: tuple[str, ...]) -> tuple[str, ...]:
    """Take origins as browsers send them."""
    for value in values:
        if not _is_origin(value):
            named = setting_faults.shown(value)
            msg = f"{named} must be written as a browser sends it, such as https://hospital.example: no path, no *"
            raise ValueError(msg)
        _web_address(value)
    return values


def _is_origin(value: str) -> bool:
    scheme, _, place = value.partition("://")
    if scheme not in ("http", "https") or "@" in place:
        return "@" in place  # which `_web_address` refuses, and does not quote
    parts = _split(value)
    is_host = _HOST.fullmatch(parts.hostname or "") or ":" in (parts.hostname or "")
    is_plain = value == f"{scheme}://{parts.netloc}".lower()
    return is_plain and bool(is_host) and parts.port != {"https": 443, "http": 80}[scheme]


def journal_column_names(values: tuple[str, ...]) -> tuple[str, ...]:
    """Take columns of the journal, each once."""
    unknown = [f"{setting_faults.shown(name)} is no column" for name in values if name not in journal_columns.COLUMNS]
    unknown += [f"{name!r} stands twice" for name in journal_columns.COLUMNS if values.count(name) > 1]
    if unknown or not values:
        faults = ", ".join(unknown) or "there is none"
        msg = f"{faults}; the columns are {', '.join(journal_columns.COLUMNS)}"
        raise ValueError(msg)
    return values


def token(value: SecretStr) -> SecretStr:
    """Take what a header can carry, if it is long enough."""
    if not _TOKEN.fullmatch(value.get_secret_value()):
        msg = "must have at least 16 characters, Latin letters, digits and signs without blanks, as a header carries it"
        raise ValueError(msg)
    return value


def known_keys(value: SecretStr) -> SecretStr:
    """Take secret keys."""
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


def optional(check: Callable[[T], T]) -> Callable[[T | None], T | None]:
    """Check what is there."""
    return lambda value: None if value is None else check(value)


def collector(value: str) -> str:
    """Take the address of a collector, if what sends to it is installed."""
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
