"""Settings: all faults at once, no secret shown, keys made once."""

import base64
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from integrations.runtime import settings

ROOT = Path(__file__).resolve().parents[3]
KEY = base64.urlsafe_b64encode(bytes(range(32))).decode().rstrip("=")
OTHER = base64.urlsafe_b64encode(bytes(range(32, 64))).decode()


def load(**given: str) -> settings.Settings:
    return settings.load({f"POBRATYM_{name}": text for name, text in given.items()})


def faults(**given: str) -> list[str]:
    with pytest.raises(settings.BadSettings) as caught:
        load(**given)
    return caught.value.faults


def test_nothing_set_means_the_embedded_database_a_maildir_and_the_systems_clock() -> None:
    found = load()
    assert found.is_embedded
    assert found.smtp_url is None
    assert (found.mail_dir, found.clock) == (Path(".pobratym/mail"), "system")


def test_an_empty_variable_is_unset_where_nothing_is_a_value(tmp_path: Path) -> None:
    assert load(DATABASE_URL="", SMTP_URL="", SMTP_URL_FILE="").is_embedded
    (tmp_path / "address").write_text("smtp://m:25")
    assert load(SMTP_URL="", SMTP_URL_FILE=str(tmp_path / "address")).smtp_url is not None


def test_variables_of_others_are_left_alone() -> None:
    assert settings.load({"PATH": "/bin", "DATABASE_URL": "postgresql://h/d"}).is_embedded


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_every_usual_way_to_name_the_database_is_understood(scheme: str) -> None:
    found = load(DATABASE_URL=f"{scheme}://u:p%40x@db:5432/pobratym?sslmode=require", SECRET_KEYS=f"a:{KEY}")
    read = found.address()
    assert (str(read.hosts[0]), read.user, read.password, read.database) == ("db:5432", "u", "p@x", "pobratym")
    assert "sslmode=require" in read.dsn


def test_every_secret_may_stand_in_a_file_and_nothing_else_may(tmp_path: Path) -> None:
    secrets = {
        "DATABASE_URL": "postgresql://u:p@db/d", "DATABASE_DIRECT_URL": "postgresql://u:p@direct/d",
        "DATABASE_READ_URL": "postgresql://u:p@standby/d", "SMTP_URL": "smtp://m:25",
        "SECRET_KEYS": f"a:{KEY}", "METRICS_TOKEN": "0123456789abcdef", "SMS_TOKEN": "0123456789abcdef",
    }  # fmt: skip
    for name, text in secrets.items():
        (tmp_path / name).write_text(f"{text}\n")

    found = load(**{f"{name}_FILE": str(tmp_path / name) for name in secrets})

    assert found == load(**secrets)
    assert {name.lower() for name in secrets} == {
        name for name, about in settings.Settings.model_fields.items() if "SecretStr" in str(about.annotation)
    }
    assert faults(BASE_URL_FILE=str(tmp_path / "SMTP_URL")) == ["POBRATYM_BASE_URL_FILE is not a setting"]


def test_a_secrets_file_that_gives_nothing_is_named_and_never_quoted(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "wrong").write_text("hush")
    assert faults(SMTP_URL_FILE=f"{tmp_path}/none", METRICS_TOKEN_FILE=f"{tmp_path}/empty") == [
        f"POBRATYM_SMTP_URL_FILE: {tmp_path}/none cannot be read: No such file or directory",
        f"POBRATYM_METRICS_TOKEN_FILE: {tmp_path}/empty is empty",
    ]
    assert faults(SECRET_KEYS_FILE=f"{tmp_path}/bytes") == [
        f"POBRATYM_SECRET_KEYS_FILE: {tmp_path}/bytes cannot be read: it is no text"
    ]
    for secret in ("k1:MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=", "postgresql://u:hush@h/d", "hush"):
        assert faults(SECRET_KEYS_FILE=secret) == [
            "POBRATYM_SECRET_KEYS_FILE: it cannot be read: No such file or directory"
        ]
    assert faults(SMTP_URL="smtp://m:25", SMTP_URL_FILE=f"{tmp_path}/empty") == [
        "POBRATYM_SMTP_URL and POBRATYM_SMTP_URL_FILE are both set: one of them"
    ]
    assert "hush" not in " ".join(faults(METRICS_TOKEN_FILE=f"{tmp_path}/wrong"))


def test_what_may_hold_a_password_is_not_quoted() -> None:
    for told in ({"OUTBOUND_ALLOW": "http://user:hush@proxy:1"}, {"CORS_ORIGINS": "user:hush@hospital.example"}):
        (fault,) = faults(**told)
        assert "hush" not in fault, fault


def test_a_direct_way_goes_with_an_address() -> None:
    assert faults(DATABASE_DIRECT_URL="postgresql://db/d") == [
        "POBRATYM_DATABASE_DIRECT_URL goes with POBRATYM_DATABASE_URL"
    ]
    found = load(DATABASE_URL="postgresql://pooler/d", DATABASE_DIRECT_URL="postgresql://db/d", SECRET_KEYS=f"a:{KEY}")
    assert (found.address().hosts[0].name, found.direct_address().hosts[0].name) == ("pooler", "db")


@pytest.mark.parametrize(
    ("address", "pooler", "expected"),
    [
        ("db/d", None, "none"),
        ("db/d?pgbouncer=true", None, "transaction"),
        ("db/d?pgbouncer=true", "session", "session"),
    ],
)
def test_ops_04_a_pooler_is_named_by_the_address_or_a_setting(address: str, pooler: str | None, expected: str) -> None:
    told = {"DATABASE_POOLER": pooler} if pooler else {}
    assert load(DATABASE_URL=f"postgresql://{address}", SECRET_KEYS=f"a:{KEY}", **told).pooler == expected


def test_all_faults_are_named_at_once() -> None:
    found = faults(
        BASURL="x", BASE_URL="ftp://x", CLOCK="stopped", POOL_SIZE="0", MAIL_FROM="nobody", OUTBOUND_ALLOW="a b"
    )
    assert sorted(fault.replace(":", " ").split()[0] for fault in found) == [
        "POBRATYM_BASE_URL",
        "POBRATYM_BASURL",
        "POBRATYM_CLOCK",
        "POBRATYM_MAIL_FROM",
        "POBRATYM_OUTBOUND_ALLOW",
        "POBRATYM_POOL_SIZE",
    ]


@pytest.mark.parametrize("name", ["BASE_URL", "CORS_ORIGINS", "ROOM_URL"])
def test_an_address_that_others_read_holds_no_password(name: str) -> None:
    path = "/{appointment_id}" if name == "ROOM_URL" else ""
    (fault,) = faults(**{name: f"https://someone:a-password@hospital.example{path}"})
    assert fault.endswith("must hold no user and password: others read it")


@pytest.mark.parametrize("name", ["AUDIT_DAYS", "MAIL_DAYS"])
def test_what_shows_who_did_what_is_kept_for_90_days_at_least(name: str) -> None:
    load(**{name: "90"})
    (fault,) = faults(**{name: "89"})
    assert name in fault


def test_a_misspelt_setting_is_refused() -> None:
    assert faults(BASURL="http://127.0.0.1") == ["POBRATYM_BASURL is not a setting"]


def test_a_database_of_ones_own_needs_keys_of_ones_own() -> None:
    assert faults(DATABASE_URL="postgresql://db/pobratym") == [
        "POBRATYM_SECRET_KEYS must be set together with POBRATYM_DATABASE_URL"
    ]


def test_the_manual_clock_is_for_the_embedded_database_only() -> None:
    assert faults(DATABASE_URL="postgresql://db/pobratym", SECRET_KEYS=f"a:{KEY}", CLOCK="manual") == [
        "POBRATYM_CLOCK=manual is for the embedded database only"
    ]


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ("a:c2hvcnQ", "32 random bytes"),
        (f"a:{base64.urlsafe_b64encode(bytes(32)).decode()}", "32 random bytes"),
        (f"a:{KEY}!!", "32 random bytes"),
        (KEY, "id:base64url"),
        (f"a:{KEY},a:{OTHER}", "id of its own"),
        (f"a:{KEY},", "key 2"),
        (f"a b:{KEY}", "id:base64url"),
    ],
)
def test_short_default_and_doubtful_keys_are_refused(keys: str, why: str) -> None:
    (fault,) = faults(SECRET_KEYS=keys)
    assert why in fault


def test_the_first_key_is_the_first() -> None:
    assert list(load(SECRET_KEYS=f"new:{KEY}, old:{OTHER}").keys()) == ["new", "old"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("DATABASE_URL", "mysql://u:canary@db/pobratym"),
        ("DATABASE_URL", "postgresql://u:canary/x@db/pobratym"),
        ("DATABASE_URL", "postgresql://u:canary@[::/pobratym"),
        ("DATABASE_URL", "postgresql://u:canary@d\u2100b/pobratym"),
        ("SMTP_URL", "smtp://u:canary@"),
        ("SMTP_URL", "smtp://u:canary@host:99999"),
        ("SMTP_URL", "http://u:canary@host"),
        ("SECRET_KEYS", "a:canary"),
        ("METRICS_TOKEN", "canary"),
    ],
)
def test_no_fault_quotes_a_secret(name: str, text: str) -> None:
    assert not any("canary" in fault.replace(name, "") for fault in faults(**{name: text}))


def test_settings_do_not_show_their_secrets() -> None:
    shown = repr(
        load(
            DATABASE_URL="postgresql://u:canary@db/pobratym",
            SECRET_KEYS=f"a:{KEY}",
            SMTP_URL="smtp://u:canary@mail",
            METRICS_TOKEN="canary-canary-canary",
        )
    )
    assert "canary" not in shown
    assert KEY not in shown


@pytest.mark.parametrize("url", ["smtp://mail:25", "smtp+starttls://u:p@mail:587", "smtps://u:p@mail"])
def test_mail_servers_are_named_with_and_without_tls(url: str) -> None:
    assert load(SMTP_URL=url).smtp_url is not None


@pytest.mark.parametrize(
    "sender", ["nobody", "a@b\r\nBcc: c@d", "a@x.example, b@x.example", "Name", "<>", "a@", "@b", "A <ї@x.example>"]
)
def test_mail_comes_from_one_address(sender: str) -> None:
    assert "POBRATYM_MAIL_FROM" in faults(MAIL_FROM=sender)[0]


def test_a_sender_may_have_a_name() -> None:
    assert load(MAIL_FROM="Побратим <no-reply@pobratym.example>").mail_from == "Побратим <no-reply@pobratym.example>"


def test_ft_20_an_address_that_is_none_is_named_by_its_letter() -> None:
    (fault,) = faults(MAIL_FROM="Pobratym <n\N{CYRILLIC SMALL LETTER O}-reply@pobratym.example>")
    assert "Character 2 is" in fault
    assert "CYRILLIC SMALL LETTER O" in fault


def test_ft_20_a_sender_is_one_that_every_server_carries() -> None:
    (fault,) = faults(MAIL_FROM="лікар@pobratym.example", SMTPUTF8="on")
    assert "CYRILLIC SMALL LETTER EL" in fault


@pytest.mark.parametrize(("text", "is_on"), [("on", True), ("off", False)])
def test_ft_20_letters_before_the_at_are_carried_when_the_operator_says_so(text: str, *, is_on: bool) -> None:
    assert load(SMTPUTF8=text).smtputf8 is is_on


def test_ft_21_a_senders_domain_in_letters_of_its_country_is_kept_as_mail_carries_it() -> None:
    assert load(MAIL_FROM="Побратим <a@лікарня.укр>").mail_from == "Побратим <a@xn--80atcko5gyb.xn--j1amh>"


@pytest.mark.parametrize("address", ["http://pobratym.example", "pobratym.example", "https://x/?a=1", "https://x/#f"])
def test_the_public_address_is_https_and_nothing_but_an_address(address: str) -> None:
    assert "POBRATYM_BASE_URL" in faults(BASE_URL=address)[0]


def test_the_public_address_ends_without_a_slash() -> None:
    assert load(BASE_URL="https://pobratym.example/").base_url == "https://pobratym.example"


@pytest.mark.parametrize("path", ["/pobratym", "/a-b/c_d", "/pobratym/"])
def test_ops_14_the_address_may_have_a_path(path: str) -> None:
    loaded = load(BASE_URL=f"https://hospital.example{path}")

    assert loaded.base_path == path.rstrip("/")
    assert loaded.base_url == "https://hospital.example" + loaded.base_path
    assert load(BASE_URL="https://hospital.example").base_path == ""


@pytest.mark.parametrize(
    "path", ["//x", "/x//y", "/..", "/x/../y", "/./x", "/%70", "/x y", "/x;y", '/"', "/v1", "/people/x", "/a"]
)
def test_ops_14_a_path_that_is_read_in_two_ways_is_refused(path: str) -> None:
    assert "POBRATYM_BASE_URL" in faults(BASE_URL=f"https://hospital.example{path}")[0]


def test_a_room_pattern_names_the_appointment() -> None:
    assert "{appointment_id}" in faults(ROOM_URL="https://rooms.example/same-for-all")[0]
    assert load(ROOM_URL="https://rooms.example/{appointment_id}").room_url == "https://rooms.example/{appointment_id}"


def test_hosts_and_networks_may_be_let_through() -> None:
    allowed = load(OUTBOUND_ALLOW="127.0.0.0/8, ::1/128, receiver.example").outbound_allow
    assert allowed == ("127.0.0.0/8", "::1/128", "receiver.example")


def test_issuers_are_a_list_of_addresses() -> None:
    assert load(OIDC_ISSUERS="https://a.example, https://b.example").oidc_issuers == (
        "https://a.example",
        "https://b.example",
    )


def test_keys_are_made_once_and_for_their_owner_only(tmp_path: Path) -> None:
    found = load(DATA_DIR=str(tmp_path / "data"))
    made = found.keys()
    assert found.keys() == made
    assert stat.S_IMODE((tmp_path / "data/secret-keys").stat().st_mode) == 0o600
    (tmp_path / "data/secret-keys").chmod(0o644)  # as a copy may leave it
    assert found.keys() == made
    assert stat.S_IMODE((tmp_path / "data/secret-keys").stat().st_mode) == 0o600


def test_processes_that_start_at_once_agree_on_the_keys(tmp_path: Path) -> None:
    program = "from integrations.runtime import settings; print(settings.load().keys())"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={"POBRATYM_DATA_DIR": str(tmp_path / "data")},
            stdout=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    assert len({process.communicate(timeout=60)[0] for process in processes}) == 1


def test_settings_do_not_change_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().workers = 2  # type: ignore[misc]


def test_the_address_last_served_is_used_by_every_process_of_the_data_directory(tmp_path: Path) -> None:
    settings.remember_address(load(DATA_DIR=str(tmp_path)), 8123)
    assert load(DATA_DIR=str(tmp_path)).base_url == "http://127.0.0.1:8123"
    settings.remember_address(load(DATA_DIR=str(tmp_path)), 8124)
    assert load(DATA_DIR=str(tmp_path)).base_url == "http://127.0.0.1:8124"


def test_an_address_that_is_set_stands_and_is_the_one_remembered(tmp_path: Path) -> None:
    told = load(DATA_DIR=str(tmp_path), BASE_URL="https://pobratym.example")
    settings.remember_address(told, 8123)
    assert load(DATA_DIR=str(tmp_path)).base_url == "https://pobratym.example"
    assert load(DATA_DIR=str(tmp_path), BASE_URL="http://127.0.0.1:9").base_url == "http://127.0.0.1:9"


def test_an_address_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    (tmp_path / "base-url").write_text("nowhere")
    assert load(DATA_DIR=str(tmp_path)).base_url == "http://127.0.0.1:8000"
