"""Addresses that mail can carry are taken in one form; others are refused in words that name what is wrong."""

import pytest
import sqlalchemy as sa

import build
from service.kernel import email_addresses, errors
from service.kernel.work import Work
from service.people import logins, privacy
from service.registry import published_facts

NATIONAL, IN_ASCII = "likar@лікарня.укр", "likar@xn--80atcko5gyb.xn--j1amh"


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("clinician@chernihiv.example", "clinician@chernihiv.example"),
        ("O.Koval+1@Hospital.UA", "O.Koval+1@Hospital.UA"),
        ("likar@hospital.local", "likar@hospital.local"),
        ("erased-1@erased.invalid", "erased-1@erased.invalid"),
        (NATIONAL, IN_ASCII),
        ("Likar@ЛІКАРНЯ.укр", "L" + IN_ASCII[1:]),
        (IN_ASCII, IN_ASCII),
    ],
)
def test_an_address_is_stored_as_mail_carries_it(typed: str, stored: str) -> None:
    assert email_addresses.normal_form(typed) == stored


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("\N{CYRILLIC SMALL LETTER O}.koval@hospital.ua", "character 1 is CYRILLIC SMALL LETTER O"),
        ("doc\u200b1@klinika.example", "character 4 is ZERO WIDTH SPACE"),
        ("лікар@hospital.ua", "character 1 is CYRILLIC SMALL LETTER EL"),
        ("\ud800@hospital.ua", r"U\+D800"),
        ("koval..x@hospital.ua", "two periods"),
        ("x@hospital..ua", "two periods"),
        ("x@hospital\u200b.ua", "ZERO WIDTH SPACE"),
        ("x@xn--zz.ua", "not valid IDNA"),
        ("x\0@hospital.ua", r"U\+0000"),
        ("x@hospital.ua\r\nBcc: y@hospital.ua", r"U\+000A"),
        ("x@hospital", "period"),
        ("x@192.0.2.1", "top-level"),
        ('"a b"@hospital.ua', "Quoting"),
        ("A <x@hospital.ua>", "display name"),
        ("x" * 65 + "@hospital.ua", "too long"),
        ("x@" + "я." * 100 + "укр", "too long"),
        ("", "@-sign"),
    ],
)
def test_what_mail_cannot_carry_is_refused_and_the_letter_named(typed: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        email_addresses.normal_form(typed)


async def test_a_person_is_found_by_either_form_of_their_address(w: Work) -> None:
    person = await build.person(w, email=IN_ASCII)
    assert await logins.person_with(w, NATIONAL) == await logins.person_with(w, IN_ASCII) == person.id
    assert await privacy.erase(w, NATIONAL) == person.id


async def test_whoever_was_registered_under_an_address_that_is_none_now_can_still_be_erased(w: Work) -> None:
    person = await build.person(w, email="doc\u200b1@klinika.example")
    assert await privacy.erase(w, "doc\u200b1@klinika.example") == person.id


async def test_the_first_admin_is_registered_in_that_form(w: Work) -> None:
    await published_facts.make_admin(w, NATIONAL)
    await w.flush()
    assert (await w.sql(sa.text("SELECT email FROM person"))).scalars().all() == [IN_ASCII]


async def test_the_first_admin_is_not_registered_under_an_address_that_is_none(w: Work) -> None:
    with pytest.raises(errors.Invalid, match="CYRILLIC"):
        await published_facts.make_admin(w, "\N{CYRILLIC SMALL LETTER O}.koval@hospital.ua")
