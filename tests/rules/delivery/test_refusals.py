from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replies import REPLIES, Published
from service import vocabulary
from service.rules.delivery import refusals
from service.rules.delivery.refusals import Reply


@pytest.mark.parametrize("published", REPLIES, ids=lambda row: f"{row.server}: {row.code} {row.text[:40]}")
def test_ft_22_a_published_reply_is_laid_on_whose_fault_it_is(published: Published) -> None:
    assert refusals.fault(Reply(published.phase, published.code, published.text)) == published.fault


@pytest.mark.parametrize("phase", vocabulary.SMTP_PHASES)
def test_ft_22_a_line_that_is_cut_is_nobodys_address(phase: vocabulary.SmtpPhase) -> None:
    assert refusals.fault(Reply(phase, None, "")) == "server"


@pytest.mark.parametrize("subject", range(8))
def test_ft_22_only_codes_of_address_and_mailbox_speak_of_the_recipient(subject: int) -> None:
    for detail in [*range(31), 90, 121, 122, 606]:
        code = f"5.{subject}.{detail}"
        found = refusals.fault(Reply("rcpt", 550, f"{code} no"))
        speaks_of_sender = detail in {7, 8, 9, 20, 90} and subject == 1
        if subject == 1 and not speaks_of_sender:
            assert found == "address", code
        elif subject == 2:
            assert found == ("ours" if detail == 3 else "mailbox" if detail in {2, 121, 122} else "address"), code
        else:
            assert found == "ours", code


@pytest.mark.parametrize("phase", ["connect", "ehlo", "starttls", "auth", "mail"])
@pytest.mark.parametrize("text", ["5.1.1 User unknown", "no such user", "5.2.1 mailbox disabled", "mailbox full"])
def test_ft_22_before_the_recipient_is_named_nothing_speaks_of_them(phase: vocabulary.SmtpPhase, text: str) -> None:
    assert refusals.fault(Reply(phase, 550, text)) == "ours"


@pytest.mark.parametrize(
    ("code", "text", "fault"),
    [
        (550, "5.4.1 no answer from host", "ours"),
        (550, "5.1.1.2 is our version, user unknown", "address"),
        (550, "Client host [5.1.1.7] is not welcome", "ours"),
        (550, "5.0.0 user unknown", "address"),
        (550, "5.0.0 no", "ours"),
        (550, "", "ours"),
        (551, "User not local; please try another", "address"),
        (550, "mailbox unavailable; reject due to SPF policy", "ours"),
        (452, "mailbox full", "mailbox"),
        (450, "4.2.0 policy says no", "ours"),
        (450, "4.1.7 bad", "ours"),
        (450, "later", "server"),
        (450, "sender verify failed for now", "ours"),
        (450, "Greylisting in action, too many spam", "server"),
    ],
)
def test_ft_22_what_may_be_about_us_is_not_laid_on_the_recipient(code: int, text: str, fault: str) -> None:
    assert refusals.fault(Reply("rcpt", code, text)) == fault


def test_ft_22_exchanges_code_for_a_missing_address_counts_at_its_step_only() -> None:
    text = "5.4.1 Recipient address rejected: Access denied"
    assert refusals.fault(Reply("rcpt", 550, text)) == "address"
    assert refusals.fault(Reply("data", 550, text)) == "ours"


@given(
    phase=st.sampled_from(vocabulary.SMTP_PHASES),
    code=st.none() | st.integers(400, 599),
    text=st.text(max_size=80) | st.from_regex(r"[245]\.[0-9]{1,3}\.[0-9]{1,3} .{0,40}", fullmatch=True),
)
def test_ft_22_every_reply_has_one_fault_and_none_for_now_marks_anybody(
    phase: vocabulary.SmtpPhase, code: int | None, text: str
) -> None:
    found = refusals.fault(Reply(phase, code, text))
    assert found in get_args(vocabulary.MailFault)
    if code is None or code < 500:
        assert found != "address"


@pytest.mark.parametrize("phase", vocabulary.SMTP_PHASES)
@pytest.mark.parametrize("code", [None, 421, 451, 535, 550, 554])
def test_ft_23_a_server_is_away_when_it_fails_before_any_mail_is_named(
    phase: vocabulary.SmtpPhase, code: int | None
) -> None:
    is_before = phase in {"connect", "ehlo", "starttls", "auth"}
    is_away = refusals.is_away(Reply(phase, code, ""))
    assert is_away == (is_before or (phase == "mail" and (code is None or code < 500)))
    assert refusals.is_cut(Reply(phase, code, "")) == (not is_away and code in {None, 421})
