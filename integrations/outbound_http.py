"""The one client for addresses that others name (webhooks, key sets): it reaches no internal network (invariant W5).

The check is made on the address that is connected to, at every connection: a name is looked up once, refused whole if
any of its addresses is inside, and the socket goes to what was checked. Redirects are not followed, the environment's
proxies are not read. A total deadline is the caller's: httpx's timeouts are for each read.
"""

import contextlib
import contextvars
import functools
import ipaddress
import re
import ssl
from collections.abc import Iterable, Iterator
from http import cookiejar
from typing import Any

import httpcore
import httpx
import ssrfguard
from ssrfguard.httpx import AsyncSafeBackend, AsyncSafeTransport

from integrations.runtime.settings import Settings

Refused = ssrfguard.SSRFGuardError
"""What a call raises when its address is refused; what goes wrong on the way is an httpx.HTTPError, as ever."""


class TooLarge(httpx.ReadError):
    """More came than the caller allows; the rest is not read."""


_USER_AGENT = "pobratym"
_NUMBER = re.compile(r"(^|\.)(0x[0-9a-f]*|[0-9]+)\.?$", re.IGNORECASE)
"""A host whose last label is a number is read as IPv4 by some: 127.1, 0x7f000001, 2130706433."""
_CONNECTIONS = httpx.Limits(max_connections=50, max_keepalive_connections=20, keepalive_expiry=30.0)
_EACH_STEP = httpx.Timeout(15.0, connect=10.0)  # whoever calls bounds the whole (webhooks: 15 s)
_HTTPS = 443
_EVERY_PORT = range(1, 65_536)
_EVERYWHERE = ("0.0.0.0/0", "::/0")

_INSIDE = (
    "::/0",  # whatever is not expressly global below: translations of IPv4 (64:ff9b::, ::/96) among it
    "192.0.0.0/24",
    "192.88.99.0/24",
    "100.64.0.0/10",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
)
_GLOBAL = ("2000::/3",)
_MAPPED = ("::ffff:0:0/96",)


def client(settings: Settings) -> httpx.AsyncClient:
    """Give a client to share; it is closed by whoever asked for it.

    Only https on port 443, unless the address names a host or lies in a network of `OUTBOUND_ALLOW`.
    """
    return httpx.AsyncClient(
        transport=_Guard(settings.outbound_allow),
        headers={"User-Agent": _USER_AGENT, "Accept-Encoding": "identity"},
        timeout=_EACH_STEP,
        cookies=cookiejar.CookieJar(cookiejar.DefaultCookiePolicy(allowed_domains=[])),  # nobody's are kept
        follow_redirects=False,
        trust_env=False,
    )


def check(settings: Settings, url: str) -> None:
    """Pass an address that may be called as it is written; a name is looked up at each call. Raises Refused."""
    try:
        parsed = httpx.URL(url)
        host = parsed.host  # read here: httpx decodes a name's A-labels (xn--) only now, and refuses bad ones
    except (httpx.InvalidURL, ValueError) as error:
        raise ssrfguard.BlockedURLError(url, "it is not an address") from error
    if _NUMBER.search(host) and _network(host) is None:
        raise ssrfguard.BlockedURLError(url, "it is an IPv4 address in disguise")
    _Rules(settings.outbound_allow).of(parsed).check_url(url)


@contextlib.contextmanager
def at_most(raw_bytes: int) -> Iterator[None]:
    """Let the calls made inside receive so many bytes in all: status lines, headers and bodies; then TooLarge."""
    token = _left.set([raw_bytes])
    try:
        yield
    finally:
        _left.reset(token)


_left: contextvars.ContextVar[list[int] | None] = contextvars.ContextVar("bytes_left", default=None)


class _Rules:
    """Chooses the policy for an address: the strict one, or an open one for what the setting lets through."""

    def __init__(self, allowed: Iterable[str]) -> None:
        networks = [_network(text) for text in allowed]
        self._networks = [network for network in networks if network]
        self._hosts = frozenset(text.lower() for text, network in zip(allowed, networks, strict=True) if not network)
        self.strict = ssrfguard.Policy(
            allowed_schemes=frozenset({"https"}),
            allowed_ports=frozenset({_HTTPS}),
            denied_networks=_TABLE,
            allowed_networks=tuple(self._networks),
        )

    def of(self, url: httpx.URL) -> ssrfguard.Policy:
        """Give the policy for this address."""
        host = url.host.lower()
        if host in self._hosts:
            return _anywhere()
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return self.strict
        return _anywhere() if any(address in network for network in self._networks) else self.strict


class _Guard(httpx.AsyncBaseTransport):
    """Sends each request under the strict policy, or under an open one for what the setting lets through."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._rules = _Rules(allowed)
        self._strict, self._let_through = _Transport(self._rules.strict), _Transport(_anywhere())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        is_strict = self._rules.of(request.url) is self._rules.strict
        return await (self._strict if is_strict else self._let_through).handle_async_request(request)

    async def aclose(self) -> None:
        await self._strict.aclose()
        await self._let_through.aclose()


class _Transport(AsyncSafeTransport):
    """The library's transport, whose connections count what comes in."""

    def __init__(self, policy: ssrfguard.Policy) -> None:
        super().__init__(policy=policy, verify=_certificates(), trust_env=False, limits=_CONNECTIONS)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=_certificates(),
            max_connections=_CONNECTIONS.max_connections,
            max_keepalive_connections=_CONNECTIONS.max_keepalive_connections,
            keepalive_expiry=_CONNECTIONS.keepalive_expiry,
            network_backend=_CountingBackend(policy=policy),
        )


class _CountingBackend(AsyncSafeBackend):
    async def connect_tcp(self, *args: Any, **kwargs: Any) -> httpcore.AsyncNetworkStream:  # noqa: ANN401 - as the base
        return _Counting(await super().connect_tcp(*args, **kwargs))


class _Counting(httpcore.AsyncNetworkStream):
    """A connection that refuses to read more than its reader wants."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - as the base
        content = await self._stream.read(max_bytes, timeout)
        remaining = _left.get()
        if remaining is not None:
            remaining[0] -= len(content)
            if remaining[0] < 0:
                raise TooLarge("more came than was wanted")
        return content

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as the base
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        return _Counting(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - as the base
        return self._stream.get_extra_info(info)


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Read the authorities once a process: it takes longer than a call."""
    return httpx.create_ssl_context(trust_env=False)


@functools.cache
def _anywhere() -> ssrfguard.Policy:
    return ssrfguard.Policy(
        allowed_ports=frozenset(_EVERY_PORT),
        allowed_networks=tuple(ipaddress.ip_network(text) for text in _EVERYWHERE),
    )


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None


def _table() -> ssrfguard.AddressTable:
    """Deny what the library denies and what invariant W5 denies; its exceptions inside these are not ours."""
    ours = [
        ssrfguard.Block(ipaddress.ip_network(text), "not for outbound calls", "invariant W5", reach)
        for networks, reach in (
            (_INSIDE, ssrfguard.Reach.DENIED),
            (_GLOBAL, ssrfguard.Reach.PERMITTED),
            (_MAPPED, ssrfguard.Reach.TRANSLATED),
        )
        for text in networks
    ]
    our_networks = {block.network for block in ours}
    theirs = (block for block in ssrfguard.DEFAULT_DENIED.blocks if block.reach is ssrfguard.Reach.DENIED)
    return ssrfguard.AddressTable((*ours, *(block for block in theirs if block.network not in our_networks)))


_TABLE = _table()
