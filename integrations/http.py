"""The one client for addresses that others name (webhooks, key sets): it finds no way into the inside (reliability §3).

The check is made on the address that is connected to, at every connection: a name is looked up once, refused whole if
any of its addresses is inside, and the socket goes to what was checked. Redirects are not followed, the environment's
proxies are not read. A total deadline is the caller's: httpx's timeouts are for each read.
"""

import functools
import ipaddress
import ssl
from collections.abc import Iterable

import httpx
import ssrfguard
from ssrfguard.httpx import AsyncSafeTransport

from integrations.settings import Settings

Refused = ssrfguard.SSRFGuardError
"""What a call raises when its address is refused; what goes wrong on the way is an httpx.HTTPError, as ever."""

_USER_AGENT = "pobratym"
_CONNECTIONS = httpx.Limits(max_connections=50, max_keepalive_connections=20, keepalive_expiry=30.0)
_EACH_STEP = httpx.Timeout(10.0)
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
        follow_redirects=False,
        trust_env=False,
    )


class _Guard(httpx.AsyncBaseTransport):
    """Sends each request under the rules for everybody, or under those for what a setting lets through."""

    def __init__(self, allowed: Iterable[str]) -> None:
        networks = [_network(text) for text in allowed]
        self._networks = [network for network in networks if network]
        self._hosts = frozenset(text.lower() for text, found in zip(allowed, networks, strict=True) if not found)
        strict = ssrfguard.Policy(
            allowed_schemes=frozenset({"https"}),
            allowed_ports=frozenset({_HTTPS}),
            denied_networks=_TABLE,
            allowed_networks=tuple(self._networks),
        )
        self._strict = _transport(strict)
        self._let_through = _transport(_anywhere())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        transport = self._let_through if self._is_let_through(request.url.host.lower()) else self._strict
        return await transport.handle_async_request(request)

    async def aclose(self) -> None:
        await self._strict.aclose()
        await self._let_through.aclose()

    def _is_let_through(self, host: str) -> bool:
        if host in self._hosts:
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self._networks)


def _transport(policy: ssrfguard.Policy) -> AsyncSafeTransport:
    return AsyncSafeTransport(policy=policy, verify=_certificates(), trust_env=False, limits=_CONNECTIONS)


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
    """Deny what the library denies and what reliability §3 denies; its exceptions inside these are not ours."""
    ours = [
        ssrfguard.Block(ipaddress.ip_network(text), "not for outbound calls", "reliability §3", reach)
        for networks, reach in (
            (_INSIDE, ssrfguard.Reach.DENIED),
            (_GLOBAL, ssrfguard.Reach.PERMITTED),
            (_MAPPED, ssrfguard.Reach.TRANSLATED),
        )
        for text in networks
    ]
    known = {block.network for block in ours}
    theirs = (block for block in ssrfguard.DEFAULT_DENIED.blocks if block.reach is ssrfguard.Reach.DENIED)
    return ssrfguard.AddressTable((*ours, *(block for block in theirs if block.network not in known)))


_TABLE = _table()
