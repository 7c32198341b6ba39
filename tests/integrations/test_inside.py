"""No way into the inside (WH-17, WH-18): neither by an address, nor by a spelling, nor by a name that says it."""

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

import receiver
from integrations import outbound_http
from integrations.runtime.settings import Settings
from integrations.webhooks import sending
from service.kernel import outcomes

SECRET = "AAAA"
INSIDE = (
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.254", "127.0.0.1", "127.8.8.8",
    "169.254.0.1", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.9",
    "192.0.0.171", "192.0.2.1", "192.88.99.1", "192.168.0.1", "192.168.255.255", "198.18.0.1", "198.19.255.255",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "::", "::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::7f00:1", "64:ff9b::7f00:1",
    "64:ff9b:1::a00:1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "fc00::1", "fe80::1", "ff02::1",
)  # fmt: skip
SPELLINGS = (
    "127.1", "127.0.1", "0", "0x7f000001", "0x7f.0.0.1", "0X7F.1", "2130706433", "017700000001", "0177.0.0.1",
    "127.0.0.1.",
    "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460", "\uff11\uff12\uff17.0.0.1", "localhost", "localhost.", "LOCALHOST",
    "[::ffff:7f00:1]", "[0:0:0:0:0:0:0:1]", "[::1%25lo]",
    "%31%32%37.0.0.1", "user@127.0.0.1", "127.0.0.1:443", "receiver.example@127.0.0.1",
)  # fmt: skip
OUTSIDE = "192.0.34.166"


class Listener:
    """Something inside that nobody outside may reach."""

    def __init__(self) -> None:
        self.connections = 0
        self.port = 0

    async def take(self, _reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        self.connections += 1


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    found = Listener()
    async with receiver.serving(found.take) as found.port:
        yield found


def names(monkeypatch: pytest.MonkeyPatch, port: int, *answers: list[str]) -> list[str]:
    """Let look-ups have these answers, one after the other, the last for ever; gives what was looked up."""
    asked: list[str] = []

    def look_up(host: str, *_args: object, **_kwargs: object) -> list[Any]:
        asked.append(host)
        found = answers[min(len(asked), len(answers)) - 1]
        return [
            (socket.AF_INET6 if ":" in text else socket.AF_INET, socket.SOCK_STREAM, 6, "", (text, port))
            for text in found
        ]

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    return asked


async def posted(url: str, *allowed: str) -> outcomes.Outcome:
    """Send a webhook, by the rules for everybody."""
    async with outbound_http.client(Settings(outbound_allow=allowed)) as client:
        return await sending.post(client, url, "id", "{}", signature="v1", secrets=[SECRET], deadline_seconds=60)


def test_there_are_forty_four_addresses_and_the_standard_library_alone_lets_some_pass() -> None:
    assert len(set(INSIDE)) == 44
    assert [text for text in INSIDE if ipaddress.ip_address(text).is_global] != []


@pytest.mark.parametrize("address", INSIDE)
async def test_wh_17_an_inside_address_is_refused_as_an_address_and_behind_a_name(
    monkeypatch: pytest.MonkeyPatch, listener: Listener, address: str
) -> None:
    names(monkeypatch, listener.port, [address])
    literal = f"[{address}]" if ":" in address else address
    with pytest.raises(outbound_http.Refused):
        outbound_http.check(Settings(), f"https://{literal}/")
    for host in (literal, "receiver.example"):
        assert await posted(f"https://{host}/") == outcomes.Retry(None, "address_refused")
    assert listener.connections == 0


@pytest.mark.parametrize("host", SPELLINGS)
async def test_wh_17_no_spelling_of_an_inside_address_is_reached(
    monkeypatch: pytest.MonkeyPatch, listener: Listener, host: str
) -> None:
    names(monkeypatch, listener.port, ["127.0.0.1"])
    outcome = await posted(f"https://{host}/")
    assert isinstance(outcome, outcomes.Retry)
    assert outcome.error in {"address_refused", "bad_address"}
    assert listener.connections == 0


@pytest.mark.parametrize(
    "url", ["http://receiver.example/", "https://receiver.example:8443/", "https://me:too@receiver.example/"]
)
async def test_wh_17_only_https_on_443_without_a_user_is_called(
    monkeypatch: pytest.MonkeyPatch, listener: Listener, url: str
) -> None:
    asked = names(monkeypatch, listener.port, [OUTSIDE])
    assert await posted(url) == outcomes.Retry(None, "address_refused")
    assert asked == []


@pytest.mark.parametrize("mixed", [[OUTSIDE, "127.0.0.1"], ["127.0.0.1", OUTSIDE], [OUTSIDE, "::1"]])
async def test_wh_18_a_name_with_any_inside_address_is_refused_whole(
    monkeypatch: pytest.MonkeyPatch, listener: Listener, mixed: list[str]
) -> None:
    names(monkeypatch, listener.port, mixed)
    assert await posted("https://receiver.example/") == outcomes.Retry(None, "address_refused")
    assert listener.connections == 0


async def test_wh_18_a_name_that_changes_between_two_look_ups_is_looked_up_once_for_each_connection(
    monkeypatch: pytest.MonkeyPatch, listener: Listener
) -> None:
    asked = names(monkeypatch, listener.port, [OUTSIDE], ["127.0.0.1"])
    connected: list[str] = []

    async def connect(*_args: object, remote_host: object, **_kwargs: object) -> None:
        connected.append(str(remote_host))
        raise OSError

    monkeypatch.setattr(anyio, "connect_tcp", connect)
    assert await posted("https://receiver.example/") == outcomes.Retry(None, "connect_failed")
    assert (len(asked), connected) == (1, [OUTSIDE])
    assert await posted("https://receiver.example/") == outcomes.Retry(None, "address_refused")
    assert connected == [OUTSIDE]


async def test_the_listener_would_see_a_connection_that_is_let_through(
    monkeypatch: pytest.MonkeyPatch, listener: Listener
) -> None:
    """The control: the same call, once the setting names the host."""
    names(monkeypatch, listener.port, ["127.0.0.1"])
    await posted("https://receiver.example/", "receiver.example")
    assert listener.connections == 1


async def test_wh_18_the_environments_proxies_are_not_asked(
    monkeypatch: pytest.MonkeyPatch, listener: Listener
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{listener.port}")
    names(monkeypatch, listener.port, ["10.0.0.1"])
    assert await posted("https://receiver.example/") == outcomes.Retry(None, "address_refused")
    assert listener.connections == 0
