"""Addresses that mail can carry are taken in one form; others are refused, and the letter and its place are named."""

# ruff: noqa: RUF001 - letters of other alphabets are what this is about

import unicodedata

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

import build
from integrations import address_words, catalogues
from service import vocabulary
from service.kernel import email_addresses, errors
from service.kernel.work import Work
from service.people import logins, privacy
from service.registry import published_facts

NATIONAL, IN_ASCII = "likar@лікарня.укр", "likar@xn--80atcko5gyb.xn--j1amh"
IMITATION = "x@xn--80ak6aa92e.com"  # in Cyrillic letters that look like apple


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("clinician@chernihiv.example", "clinician@chernihiv.example"),
        ("O.Koval+1@Hospital.UA", "O.Koval+1@hospital.ua"),
        ("likar@hospital.local", "likar@hospital.local"),
        ("erased-1@erased.invalid", "erased-1@erased.invalid"),
        ("o'brien!#$%&*/=?^_`{|}~-@hospital.ua", "o'brien!#$%&*/=?^_`{|}~-@hospital.ua"),
        (" \t\u00a0o.koval@hospital.ua\u00a0\r\n", "o.koval@hospital.ua"),
        ("x" * 64 + "@hospital.ua", "x" * 64 + "@hospital.ua"),
        ("x@" + "a" * 63 + ".ua", "x@" + "a" * 63 + ".ua"),
        (NATIONAL, IN_ASCII),
        ("Likar@ЛІКАРНЯ.укр", "L" + IN_ASCII[1:]),
        (unicodedata.normalize("NFD", "likar@київ.укр"), "likar@xn--b1alf1j.xn--j1amh"),
        (IN_ASCII, IN_ASCII),
        (IN_ASCII.upper(), "LIKAR@" + IN_ASCII.split("@")[1]),
        ("x@з\u02bcявилось.укр", "x@xn--mqa26enagpsv2gva.xn--j1amh"),
        ("x@日本ひらカタ.jp", "x@xn--y9j3b8e8c0415acvb.jp"),
        (IMITATION, IMITATION),
    ],
)
def test_ft_21_an_address_is_stored_as_mail_carries_it(typed: str, stored: str) -> None:
    assert email_addresses.carried(typed, utf8=False) == stored


@pytest.mark.parametrize(
    ("typed", "code", "place", "letter"),
    [
        ("\N{CYRILLIC SMALL LETTER O}.koval@hospital.ua", "mixed", 1, "\N{CYRILLIC SMALL LETTER O}"),
        ("k\N{GREEK SMALL LETTER OMICRON}val@hospital.ua", "mixed", 2, "\N{GREEK SMALL LETTER OMICRON}"),
        ("x@лік\N{LATIN SMALL LETTER A}рня.укр", "mixed", 6, "\N{LATIN SMALL LETTER A}"),
        ("x@h\N{CYRILLIC SMALL LETTER O}spital.ua", "mixed", 4, "\N{CYRILLIC SMALL LETTER O}"),
        ("x@xn--hspital-9ig.ua", "mixed", 3, "\N{CYRILLIC SMALL LETTER O}"),
        ("e\u0316@hospital.ua", "mixed", 2, "\u0316"),
        ("лікар@hospital.ua", "not_latin", 1, "л"),
        ("doc\u200b1@klinika.example", "unseen", 4, "\u200b"),
        ("o\u00adkoval@hospital.ua", "unseen", 2, "\u00ad"),
        ("\ufeffkoval@hospital.ua", "unseen", 1, "\ufeff"),
        ("koval@hospital.ua\u202e", "unseen", 18, "\u202e"),
        ("koval@hospital\u200b.ua", "unseen", 15, "\u200b"),
        ("koval\u3164@hospital.ua", "unseen", 6, "\u3164"),
        ("x\0@hospital.ua", "unseen", 2, "\0"),
        ("\ud800@hospital.ua", "unseen", 1, "\ud800"),
        ("a\u00a0b@hospital.ua", "blank", 2, "\u00a0"),
        ("o koval@hospital.ua", "blank", 2, " "),
        ("x@hospital .ua", "blank", 11, " "),
        ("x@hospital,ua", "separator", 11, ","),
        ("x@hospital.ua;", "separator", 14, ";"),
        ("a@b.ua, c@d.ua", "two_at", 10, "@"),
        ("a@b.ua c@d.ua", "two_at", 9, "@"),
        ("x@hospital.ua\r\nBcc: y@hospital.ua", "two_at", 22, "@"),
        ("A <x@hospital.ua>", "name", 3, "<"),
        ("<x@hospital.ua>", "name", 1, "<"),
        ('"a b"@hospital.ua', "mark", 1, '"'),
        ("x(home)@hospital.ua", "mark", 2, "("),
        ("\N{FULLWIDTH LATIN SMALL LETTER K}oval@hospital.ua", "wide", 1, "\N{FULLWIDTH LATIN SMALL LETTER K}"),
        ("x\N{FULLWIDTH COMMERCIAL AT}hospital.ua", "wide", 2, "\N{FULLWIDTH COMMERCIAL AT}"),
        ("x@hospital\N{IDEOGRAPHIC FULL STOP}ua", "letter", 11, "\N{IDEOGRAPHIC FULL STOP}"),
        ("x@h_ospital.ua", "letter", 4, "_"),
        ("x\\@hospital.ua", "letter", 2, "\\"),
        ("x:@hospital.ua", "letter", 2, ":"),
        ("x\N{HOSPITAL}@hospital.ua", "letter", 2, "\N{HOSPITAL}"),
        ("koval..x@hospital.ua", "two_dots", 7, "."),
        ("x@hospital..ua", "two_dots", 12, "."),
        (".x@hospital.ua", "edge_dot", 1, "."),
        ("x.@hospital.ua", "edge_dot", 2, "."),
        ("x@.hospital.ua", "edge_dot", 3, "."),
        ("x@hospital.ua.", "edge_dot", 14, "."),
        ("x@-hospital.ua", "edge_hyphen", 3, "-"),
        ("x@hospital-.ua", "edge_hyphen", 11, "-"),
        ("", "no_at", 0, ""),
        ("hospital.ua", "no_at", 0, ""),
        ("@hospital.ua", "no_local", 0, ""),
        ("x@", "no_ending", 0, ""),
        ("x@hospital", "no_ending", 0, ""),
        ("x@hospital.1", "no_ending", 0, ""),
        ("x@192.0.2.1", "number", 3, "1"),
        ("x@[192.0.2.1]", "number", 3, "["),
        ("x@[IPv6:2001:db8::1]", "number", 3, "["),
        ("x@xn--zz.ua", "encoded", 3, ""),
        ("x@xn--ls8h.la", "encoded", 3, ""),  # an emoji: IDNA 2003 had it, IDNA 2008 has not
        ("x@xn--.ua", "edge_hyphen", 6, "-"),
        ("x@hospital.xn--zz", "encoded", 12, ""),
        ("x@ab--cd.ua", "other", 0, ""),
        ("x" * 65 + "@hospital.ua", "long_local", 0, ""),
        ("ї" * 33 + "@hospital.ua", "long_local", 0, ""),
        ("x@" + "a" * 64 + ".ua", "long_label", 3, ""),
        ("x@" + "лікарня" * 9 + ".ua", "long_label", 3, ""),
        ("x@" + "a." * 130 + "ua", "long", 0, ""),
        ("x@" + "я." * 50 + "укр", "long", 0, ""),
        ("x" * 100_000, "long", 0, ""),
    ],
)
def test_ft_20_what_mail_cannot_carry_is_refused_and_the_letter_named(
    typed: str, code: str, place: int, letter: str
) -> None:
    with pytest.raises(email_addresses.Refused) as refused:
        email_addresses.carried(typed, utf8=False)
    assert (refused.value.code, refused.value.place, refused.value.letter) == (code, place, letter)
    for locale in vocabulary.LOCALES:
        said = address_words.worded(refused.value, catalogues.of(locale))
        assert str(place) in said or not place
        if letter not in {"", "@", ".", "-"} and code != "number":
            assert f"U+{ord(letter):04X}" in said


@pytest.mark.parametrize("locale", vocabulary.LOCALES)
def test_ft_20_every_fault_of_an_address_has_words(locale: str) -> None:
    assert set(catalogues.of(locale)["addresses"]) == set(email_addresses.Code.__args__)  # type: ignore[attr-defined]


def test_ft_20_what_cannot_be_seen_is_not_shown_in_the_words() -> None:
    refused = email_addresses.Refused("unseen", 4, "\u202e")
    assert "\u202e" not in address_words.worded(refused, catalogues.of("uk"))


@pytest.mark.parametrize("typed", ["лікар@hospital.ua", "Лікар.Коваль-2@лікарня.укр", "josé@hospital.example"])
def test_ft_20_where_the_mail_server_carries_them_letters_of_one_script_are_taken(typed: str) -> None:
    stored = email_addresses.carried(typed, utf8=True)
    assert stored.partition("@")[0] == typed.partition("@")[0]
    assert email_addresses.needs_utf8(stored)
    with pytest.raises(email_addresses.Refused):
        email_addresses.carried("\N{CYRILLIC SMALL LETTER O}.koval@hospital.ua", utf8=True)


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        (IN_ASCII, NATIONAL),
        ("o.koval@hospital.ua", "o.koval@hospital.ua"),
        ("x@xn--80atcko5gyb.com", "x@лікарня.com"),
        (IMITATION, IMITATION),
        ("x@xn--hspital-9ig.ua", "x@xn--hspital-9ig.ua"),
        ("x@xn--zz.ua", "x@xn--zz.ua"),
        ("no address", "no address"),
        ("x@" + "a" * 300, "x@" + "a" * 300),
    ],
)
def test_ft_21_people_read_a_domain_in_letters_unless_it_imitates_another(stored: str, shown: str) -> None:
    assert email_addresses.shown(stored) == shown


@given(st.text(max_size=80) | st.from_regex(r"[a-zб-яі.'@\u200b-]{1,12}@[a-zа-яії0-9.-]{1,20}", fullmatch=True))
def test_ft_20_the_normal_form_is_its_own_and_so_is_that_of_what_people_read(typed: str) -> None:
    try:
        stored = email_addresses.normal_form(typed)
    except email_addresses.Refused:
        return
    assert email_addresses.normal_form(stored) == stored
    assert email_addresses.normal_form(email_addresses.shown(stored)) == stored
    assert stored.partition("@")[2].isascii()


async def test_ft_21_a_person_is_found_by_either_form_of_their_address(w: Work) -> None:
    person = await build.person(w, email=IN_ASCII)
    assert await logins.person_with(w, NATIONAL) == await logins.person_with(w, IN_ASCII) == person.id
    assert (await privacy.dossier(w, NATIONAL))["person"]["email"] == NATIONAL
    assert await privacy.erase(w, NATIONAL) == person.id


async def test_whoever_was_registered_under_an_address_that_is_none_now_can_still_be_erased(w: Work) -> None:
    person = await build.person(w, email="doc\u200b1@klinika.example")
    assert await privacy.erase(w, "doc\u200b1@klinika.example") == person.id


async def test_ft_20_nobody_is_looked_for_under_what_is_no_address(w: Work) -> None:
    for look in (logins.person_with, privacy.dossier, privacy.erase):
        with pytest.raises(email_addresses.Unmailable):
            await look(w, "doc\u200b1@klinika.example")
        with pytest.raises(errors.NotFound):
            await look(w, "doc1@klinika.example")


async def test_the_first_admin_is_registered_in_that_form(w: Work) -> None:
    await published_facts.make_admin(w, NATIONAL)
    await w.flush()
    assert (await w.sql(sa.text("SELECT email FROM person"))).scalars().all() == [IN_ASCII]


async def test_ft_20_the_first_admin_is_not_registered_under_an_address_that_is_none(w: Work) -> None:
    with pytest.raises(email_addresses.Unmailable):
        await published_facts.make_admin(w, "\N{CYRILLIC SMALL LETTER O}.koval@hospital.ua")
