"""Every way to write the address of a database: understood, or refused in words, before anything connects."""

from pathlib import Path

import pytest

from integrations.runtime.database_address import BadAddress, DatabaseAddress, parse


def hosts(text: str) -> list[str]:
    return [str(host) for host in parse(text).hosts]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://u:p@db/pobratym", ["db:5432"]),
        ("postgres://u:p@db:6432/pobratym", ["db:6432"]),
        ("postgresql+asyncpg://db/pobratym", ["db:5432"]),
        ("postgresql://u:p@h1:5432,h2:5433/pobratym", ["h1:5432", "h2:5433"]),
        ("postgresql://u:p@h1,h2:5433/pobratym", ["h1:5432", "h2:5433"]),
        ("postgresql:///pobratym?host=h1,h2&port=1,2", ["h1:1", "h2:2"]),
        ("postgresql:///pobratym?host=h1,h2&port=7", ["h1:7", "h2:7"]),
        ("postgresql:///pobratym?host=h1&host=h2", ["h1:5432", "h2:5432"]),
        ("postgresql:///pobratym?host=/var/run/postgresql", ["/var/run/postgresql"]),
        ("postgresql://%2Fvar%2Frun%2Fpostgresql/pobratym", ["/var/run/postgresql"]),
        ("postgresql://u:p@%2Fvar%2Frun%2Fpostgresql:6432/pobratym", ["/var/run/postgresql"]),
        ("postgresql://u:p@:5490/pobratym?host=/tmp", ["/tmp"]),
        ("postgresql://[::1]:5433,[2001:db8::2]/pobratym", ["::1:5433", "2001:db8::2:5432"]),
        ("postgresql:///pobratym", []),
    ],
)
def test_ops_02_hosts_are_found_however_they_are_written(text: str, expected: list[str]) -> None:
    assert hosts(text) == expected


def test_a_port_before_a_socket_is_the_sockets() -> None:
    (host,) = parse("postgresql://u:p@:5490/pobratym?host=/tmp").hosts
    assert (host.port, host.is_socket) == (5490, True)


def test_who_signs_in_is_decoded_and_never_shown() -> None:
    read = parse("postgresql://us%40er:p%40%2Fw@db/po%2Fbratym")
    assert (read.user, read.password, read.database) == ("us@er", "p@/w", "po/bratym")
    assert "p@/w" not in repr(read)
    assert "p%40" not in repr(read)


def test_parameters_name_what_the_rest_leaves_out() -> None:
    read = parse("postgresql:///?host=db&user=u&password=p&dbname=d")
    assert (read.user, read.password, read.database) == ("u", "p", "d")


def test_ops_03_one_of_several_hosts_must_let_write() -> None:
    assert parse("postgresql://h1,h2/d").session_attributes == "read-write"
    assert parse("postgresql://h1,h2/d?target_session_attrs=any").session_attributes == "any"
    assert parse("postgresql://h1/d").session_attributes == "any"


def test_ops_02_what_asyncpg_does_not_know_is_taken_out() -> None:
    read = parse(
        "postgresql://db/d?application_name=desk&channel_binding=prefer&gssencmode=disable&connect_timeout=7"
        "&keepalives_idle=60&tcp_user_timeout=9000&load_balance_hosts=random&pgbouncer=true&options=-c%20jit%3Doff"
    )
    assert read.server_settings == {"application_name": "desk", "options": "-c jit=off"}
    assert (read.connect_seconds, read.keepalive["keepalives_idle"], read.tcp_user_timeout_ms) == (7.0, 60, 9000)
    assert (read.is_host_order_random, read.is_pooled) == (True, True)
    assert read.dsn == "postgresql:///d?"


def test_what_asyncpg_knows_is_passed_on(tmp_path: Path) -> None:
    read = parse(f"postgresql://db/d?ssl=require&passfile={tmp_path}/x&ssl_min_protocol_version=TLSv1.3")
    assert "sslmode=require" in read.dsn
    assert "ssl_min_protocol_version=TLSv1.3" in read.dsn
    assert "passfile=" in read.dsn


def test_authorities_of_the_system_are_trusted_when_asked_for() -> None:
    read: DatabaseAddress = parse("postgresql://db/d?sslrootcert=system")
    assert (read.trusts_system, read.dsn) == (True, "postgresql:///d?")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mysql://db/d", "must look like postgresql://"),
        ("db.example/pobratym", "must look like postgresql://"),
        ("postgresql:/u:p@db/d", "must look like postgresql://"),
        ("postgresql:u:p@db/d", "must look like postgresql://"),
        ("postgresql://db", "names no database"),
        ("postgresql://db/d?foo=1", "`foo` is not a parameter"),
        ("postgresql://db/d?sslmode=require&sslmode=disable", "`sslmode` stands twice"),
        ("postgresql://db/d?sslmode=maybe", "sslmode is one of disable, allow, prefer, require"),
        ("postgresql://db/d?target_session_attrs=primary-ish", "target_session_attrs is one of any"),
        ("postgresql://db/d?channel_binding=require", "the driver cannot prove channel_binding=require"),
        ("postgresql://db/d?gssencmode=require", "the driver cannot prove gssencmode=require"),
        ("postgresql://db/d?connect_timeout=soon", "connect_timeout is a whole number"),
        ("postgresql://h1,h2,h3/d?port=1,2", "3 hosts, but 2 ports"),
        ("postgresql://h1:99999/d", "the port of h1 is not one"),
        ("postgresql://h1:x/d", "the port of h1 is not one"),
        ("postgresql://db/d?sslrootcert=system&sslmode=require", "needs sslmode=verify-full"),
        ("postgresql://db/d?sslmode=verify-full&sslrootcert=/nowhere/ca.pem", "/nowhere/ca.pem cannot be read"),
        ("postgresql://u:p@w@db/d", "must be percent-encoded"),
        ("postgresql://u:p/w@db/d", "must be percent-encoded"),
        ("postgresql://u:p#w@db/d", "must be percent-encoded"),
        ("postgresql://u:p?w@db/d", "must be percent-encoded"),
        ("postgresql://[::1/d", "cannot be read"),
    ],
)
def test_ops_02_what_cannot_be_used_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(BadAddress) as refused:
        parse(text)
    assert words in str(refused.value)
    assert "p@w" not in str(refused.value)


def test_certificates_need_something_to_be_held_against(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PGSSLROOTCERT", raising=False)
    with pytest.raises(BadAddress, match="sslmode=verify-full needs sslrootcert"):
        parse("postgresql://db/d?sslmode=verify-full")


def test_a_file_that_holds_no_certificate_is_named(tmp_path: Path) -> None:
    empty = tmp_path / "ca.pem"
    empty.write_text("nothing")
    with pytest.raises(BadAddress, match="holds no certificate"):
        parse(f"postgresql://db/d?sslmode=verify-full&sslrootcert={empty}")


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(BadAddress) as refused:
        parse("postgresql://h1:0/?foo=1&sslmode=maybe&connect_timeout=x")
    assert str(refused.value).count(";") == 4
