"""Every setting, and each way in which it can be wrong: one sentence that says which, and what it may be."""

from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from integrations.runtime import settings

FIELDS = settings.Settings.model_fields
SECRETS = {name for name, about in FIELDS.items() if about.annotation == SecretStr | None}
NUMBERS = {name for name, about in FIELDS.items() if about.annotation in (int, float)}
CHOICES = {name for name, about in FIELDS.items() if get_origin(about.annotation) is Literal}
SWITCHES = {name for name, about in FIELDS.items() if about.annotation is bool}
MARK = "canary\N{LATIN SMALL LETTER E WITH ACUTE}"
PYDANTICS = ("Input should", "unable to parse", "valid integer", "valid number", "validation error", "Value error")
WRONG = {  # of what has a form of its own
    "base_url": ("two", "*", "ftp://x", "https://", "https://[", "http://hospital.example", "https://x/%70"),
    "mail_from": ("two", "@", "Name <>"),
    "room_url": ("two", "*", "https://rooms.example", "ftp://x/{appointment_id}"),
    "cors_origins": ("*", "two", "https://*.hospital.example", "https://x.example/", "HTTPS://x.example", "null"),
    "oidc_issuers": ("*", "two", "https://a.example?x", "https://a.example,two"),
    "outbound_allow": ("*", "a b", "10.0.0.1/8", "host.example:8080", "https://host.example", "*.example", "::1/129"),
    "otlp_endpoint": ("two", "ftp://x", "http://", "127.0.0.1:4318"),
    "journal_columns": ("two", "number,two", "number,number", "Number", ","),
    "data_dir": ("~/pobratym",),
    "database_url": (
        "two", "mysql://u:p@h/d", "postgresql://h", "postgresql://u:p%@h/d", "postgresql://u:p%zz@h/d", "postgresql://h/d%",
        "postgresql://%@h/d", "postgresql://h%/d", "postgresql://h/d?application_name=%", "postgresql://u:p%00@h/d",
        "postgresql://u:p%ff@h/d", "postgresql://h/d?ssl=true", "postgresql://h/d?sslmode=Require",
        "postgresql://h/d?wrong=1", "postgresql://h:x/d", "POSTGRES", "postgresql:/h/d",
    ),
    "smtp_url": ("two", "http://h", "smtp://", "smtp://h:x", "smtp://u:p%@h", "smtp://u%ff:p@h", "smtp://h/x", "smtp://h?x=1"),
    "secret_keys": ("two", "k1:two", ","),
    "metrics_token": ("two", "a token with blanks", "\N{CYRILLIC SMALL LETTER HA}" * 20),
}  # fmt: skip
WRONG["sms_token"] = WRONG["metrics_token"]
WRONG["sms_url"] = (
    "two",
    "ftp://h",
    "https://",
    "http://h.example/x",
    "https://u:p@h.example/x",
    "https://h.example/x?y=1",
)
WRONG["database_direct_url"] = WRONG["database_read_url"] = WRONG["database_url"]


def faults(**given: str) -> list[str]:
    with pytest.raises(settings.BadSettings) as caught:
        settings.load({f"POBRATYM_{name}": text for name, text in given.items()})
    return caught.value.faults


def wrong(name: str) -> tuple[str, ...]:
    about = FIELDS[name]
    if name in NUMBERS:
        return ("two", "1,5", "0x10", "-1", "1e99", "nan", "9" * 30, "ten seconds")
    if name in CHOICES:
        first = get_args(about.annotation)[0]
        return ("two", first.upper(), first.title(), first[:-1], f"'{first}'")
    return ("two", "2", "enabled") if name in SWITCHES else WRONG[name]


def one_sentence(name: str, text: str) -> str:
    beside = {"DATABASE_URL": "postgresql://h/d"} if name in {"database_direct_url", "database_read_url"} else {}
    if beside or name == "database_url":
        beside["SECRET_KEYS"] = "k:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
    (fault,) = faults(**{name.upper(): text}, **beside)
    return fault


def may_be(about: FieldInfo) -> str:
    least = next((str(mark.ge) for mark in about.metadata if hasattr(mark, "ge")), "")
    return least or "number"


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_a_wrong_setting_is_one_sentence_that_names_it_and_what_it_may_be(name: str) -> None:
    about = FIELDS[name]
    for text in wrong(name):
        fault = one_sentence(name, text)

        assert fault.startswith(f"POBRATYM_{name.upper()}: ")
        assert not any(word in fault for word in PYDANTICS)
        assert "\n" not in fault
        if name in NUMBERS:
            assert may_be(about) in fault
            assert " number " in fault
        if name in CHOICES:
            assert all(choice in fault for choice in get_args(about.annotation))
        if name in SWITCHES:
            assert "on or off" in fault
        if name in NUMBERS | CHOICES | SWITCHES:
            assert repr(text) in fault


@pytest.mark.parametrize("name", sorted(NUMBERS))
def test_a_number_out_of_range_is_told_the_range(name: str) -> None:
    marks = FIELDS[name].metadata
    (least,) = (value for mark in marks if (value := getattr(mark, "ge", getattr(mark, "gt", None))) is not None)
    most = next(mark.le for mark in marks if hasattr(mark, "le"))
    for text in (str(most + 1), str(least - 1)):
        fault = one_sentence(name, text)
        assert all(told in fault for told in (str(least), str(most), repr(text)))


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_an_empty_setting_is_none_where_none_is_possible_and_a_fault_elsewhere(name: str) -> None:
    for text in ("", "  "):
        if FIELDS[name].default in (None, ()):
            loaded = settings.load({f"POBRATYM_{name.upper()}": text})
            assert getattr(loaded, name) == FIELDS[name].default
        else:
            assert "is empty" in one_sentence(name, text)


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_a_setting_in_other_than_capitals_is_refused_by_name(name: str) -> None:
    for spelt in (f"pobratym_{name}", f"Pobratym_{name.title()}", f"POBRATYM_{name}"):
        with pytest.raises(settings.BadSettings) as caught:
            settings.load({spelt: MARK})
        assert caught.value.faults == [f"{spelt}: settings are named in capitals, POBRATYM_{name.upper()}"]


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_of_a_secret_nothing_is_quoted(name: str) -> None:
    for text in wrong(name):
        for told in (f"{text}{MARK}", f"{MARK}{text}", text.replace(":p", f":{MARK}")):
            assert not any(MARK in fault for fault in _all_faults(name, told))


def _all_faults(name: str, text: str) -> list[str]:
    try:
        settings.load({f"POBRATYM_{name.upper()}": text})
    except settings.BadSettings as bad:
        return bad.faults
    return []


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("WORKERS", "two", "POBRATYM_WORKERS: must be a whole number from 1 to 64, not 'two'"),
        ("HEAD_SECONDS", "0", "POBRATYM_HEAD_SECONDS: must be a number above 0 and at most 3600, not '0'"),
        ("CLOCK", "Manual", "POBRATYM_CLOCK: must be system or manual, in small letters, not 'Manual'"),
        ("LOG_LEVEL", "loud", "POBRATYM_LOG_LEVEL: must be debug, info, warning or error, not 'loud'"),
        ("SMTPUTF8", "maybe", "POBRATYM_SMTPUTF8: must be on or off, not 'maybe'"),
        ("POOL_SIZE", "", "POBRATYM_POOL_SIZE: is empty; it must be a whole number from 1 to 200, or be left out (10)"),
        (
            "CORS_ORIGINS", "*",
            ("POBRATYM_CORS_ORIGINS: '*' must be written as a browser sends it, such as https://hospital.example:"
             " no path, no *"),
        ),
        ("OUTBOUND_ALLOW", "10.0.0.1/8", "POBRATYM_OUTBOUND_ALLOW: '10.0.0.1/8' is no network; is it 10.0.0.0/8?"),
        (
            "OUTBOUND_ALLOW", "host.example:8080",
            ("POBRATYM_OUTBOUND_ALLOW: 'host.example:8080' is neither a host nor a network such as 127.0.0.0/8:"
             " no scheme, no port, no *"),
        ),
        ("DATA_DIR", "~/x", "POBRATYM_DATA_DIR: '~/x' must be a path without ~, which only a shell understands"),
        (
            "DATABASE_URL", "postgresql://h/d?ssl=true",
            "POBRATYM_DATABASE_URL: ssl (sslmode) is one of disable, allow, prefer, require, verify-ca, verify-full",
        ),
        (
            "DATABASE_URL", "postgresql://u:100%@h/d",
            "POBRATYM_DATABASE_URL: a % must begin an octet of UTF-8 such as %40; a % that means itself is %25",
        ),
    ],
)  # fmt: skip
def test_the_words(name: str, text: str, said: str) -> None:
    assert one_sentence(name.lower(), text) == said


def test_unknown_columns_of_the_journal_are_named() -> None:
    (fault,) = faults(JOURNAL_COLUMNS="number,patient,minutes,minutes")
    assert fault.startswith(
        "POBRATYM_JOURNAL_COLUMNS: 'patient' is no column, 'minutes' stands twice; the columns are number, "
    )


def test_files_of_the_data_directory_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    (tmp_path / "secret-keys").write_text("nonsense")
    with pytest.raises(settings.BadSettings, match=f"{tmp_path}/secret-keys: key 1 must look like"):
        settings.load({"POBRATYM_DATA_DIR": str(tmp_path)}).keys()
