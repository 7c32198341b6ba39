"""Whose fault it is that a mail server did not take a mail (invariant E7).

The enhanced status code decides where there is one (RFC 3463, RFC 5248), then the step of the conversation, then words
that servers are known for. Only what plainly speaks of the recipient is laid on the recipient: an address marked by
mistake gets no mail any more, and a mail kept by mistake costs some attempts and an alarm.
"""

import re
from typing import NamedTuple

from service import vocabulary

PERMANENT = 500
_SERVICE_CLOSING = 421

_CODE = re.compile(r"\s*[245]\.(\d{1,3})\.(\d{1,3})(?![.\d])")
"""At the beginning: elsewhere three numbers with dots are mostly somebody's version or part of an IP address."""
_CODE_IN_BRACKETS = re.compile(r"\(#?\s*[245]\.(\d{1,3})\.(\d{1,3})\)")
"""At the end, as qmail has it."""

_ADDRESS, _MAILBOX, _NETWORK, _UNSAID = 1, 2, 4, 0
"""Subjects of enhanced codes: the second number."""
_OF_THE_SENDER = frozenset({7, 8, 9, 20, 90})
"""Details of subject 1 that speak of who sends; 20 and 90 are Exchange's own."""
_FULL, _TOO_LARGE = 2, 3
_OF_THE_HOUR = frozenset({_FULL, 121, 122})
"""Details of subject 2 that pass: full, and Exchange's own for too many mails in an hour."""
_NO_ANSWER = 1
"""Detail of subject 4 that Exchange gives for an address it does not have."""


def _words(*phrases: str) -> re.Pattern[str]:
    return re.compile("|".join(phrases), re.IGNORECASE)


_GREYLISTED = _words("grey ?-?list", "gray ?-?list")
_SPEAKS_OF_SENDER = _words(
    r"\bsender\b.{0,60}\b(reject|den|refus|unknown|not found|verif|invalid|block|not allow|not exist)",
    r"\b(reject|den|refus|unknown|invalid|block|verify|fake)\w*:? (the |this |your )?sender",
)
_SPEAKS_OF_US = _words(
    r"block(ed|ing|list)?\b|black ?-?list|deny ?-?list|\b(rbl|dnsbl|spamhaus|spamcop|barracuda|sorbs|proofpoint)\b",
    r"reputation|unsolicited|complaint|\bspam|\bube\b|virus|malware|junk",
    r"\brelay(ing)?\b(?! recipient)|authenticat|\bauth\b.{0,20}required|credential|password|log ?in",
    r"\b(spf|dkim|dmarc|ptr|rdns|reverse dns|helo|ehlo)\b|unusual (rate|traffic)|unexpected volume|rate ?-?limit",
    r"content|policy|prohibited|message (size|rejected)|too (large|big)|size limit|exceeds? .{0,20}size",
)
_FULL_NOW = _words(
    r"\b(over ?-?|disk ?|exceeded .{0,20}|mailbox .{0,20})quota|quota exceeded|over ?-?quota",
    r"mailbox (is )?(currently )?full|inbox.{0,9}full|full mailbox|account is full",
    r"exceeded storage allocation|storage limit",
)
_TOO_MANY_NOW = _words(
    r"too (quickly|much|many)", r"at a rate", r"rate that prevents", r"exceeded .{0,40}(limit|number)"
)
_NO_SUCH_MAILBOX = _words(
    r"(no such|unknown|invalid|bad|unrouteable|unroutable|nonexistent|non-existent|inactive|disabled)"
    r" (local )?(user|person|recipient|mailbox|address|account|destination|addressee|domain)",
    r"(user|person|recipient|mailbox|address|account|addressee)\b.{0,60}?"
    r"\b(unknown|not (found|known|exist|valid|local|listed|allowed)|doesn.t (exist|have)|does not (exist|have)|invalid"
    r"|unavailable|disabled|inactive|suspended|closed|discontinued|expired|deactivated|no longer|unrouteable)",
    r"(no|not a valid|not have an?) (\S+ )?(mailbox|account|user)\b|no mailbox here|no one by that name|who is this",
    r"doesn.t have an? \S+ account|recipient (address )?rejected: (user|undeliverable|no such)",
)


class Reply(NamedTuple):
    """What a server said at which step; without a code the line was cut, or nothing came in time."""

    phase: vocabulary.SmtpPhase
    code: int | None
    text: str


def fault(reply: Reply) -> vocabulary.MailFault:
    """Tell whose fault it is: the address's for good, the mailbox's for now, ours, or the server's and the line's."""
    if reply.code is None or reply.code < PERMANENT:
        return _for_now(reply)
    if reply.phase in vocabulary.BEFORE_ANY_MAIL or reply.phase == "mail":
        return "ours"
    subject, detail = _enhanced(reply.text)
    if subject == _ADDRESS:
        return "ours" if _is_sender(detail, reply.text) else "address"
    if subject == _MAILBOX:
        return _of_mailbox(detail, reply.text)
    return _by_words(reply.text) if subject == _UNSAID else _of_another(subject, detail, reply)


_EXCHANGE_HAS_IT_NOT = _words("recipient address", "access denied")


def _of_another(subject: int, detail: int, reply: Reply) -> vocabulary.MailFault:
    is_exchanges = (subject, detail) == (_NETWORK, _NO_ANSWER) and reply.phase == "rcpt"
    return "address" if is_exchanges and _EXCHANGE_HAS_IT_NOT.search(reply.text) else "ours"


def _enhanced(text: str) -> tuple[int, int]:
    """Give subject and detail of the enhanced code; (0, 0) where there is none, or it says nothing."""
    code = _CODE.match(text) or _CODE_IN_BRACKETS.search(text)
    return (int(code[1]), int(code[2])) if code else (_UNSAID, 0)


def _is_sender(detail: int, text: str) -> bool:
    return detail in _OF_THE_SENDER or bool(_SPEAKS_OF_SENDER.search(text))


def _of_mailbox(detail: int, text: str) -> vocabulary.MailFault:
    if detail == _TOO_LARGE:
        return "ours"
    is_passing = detail in _OF_THE_HOUR or _FULL_NOW.search(text) or _TOO_MANY_NOW.search(text)
    return "mailbox" if is_passing else "address"


def _by_words(text: str) -> vocabulary.MailFault:
    """Judge a refusal without a code: what may be about us is taken for that, whatever else it says."""
    if _FULL_NOW.search(text):
        return "mailbox"
    if _SPEAKS_OF_US.search(text) or _SPEAKS_OF_SENDER.search(text):
        return "ours"
    return "address" if _NO_SUCH_MAILBOX.search(text) else "ours"


def _for_now(reply: Reply) -> vocabulary.MailFault:
    subject, detail = _enhanced(reply.text)
    if _GREYLISTED.search(reply.text):
        return "server"
    is_of_mailbox = subject == _MAILBOX or (subject == _UNSAID and _FULL_NOW.search(reply.text))
    if is_of_mailbox and reply.phase not in vocabulary.BEFORE_ANY_MAIL and not _SPEAKS_OF_US.search(reply.text):
        return "mailbox"
    is_of_sender = _is_sender(detail if subject == _ADDRESS else 0, reply.text)
    return "ours" if is_of_sender or _SPEAKS_OF_US.search(reply.text) else "server"


def is_away(reply: Reply) -> bool:
    """Tell whether the server takes no mail at all now: it fails before a mail is named, or says "later" to the sender.

    No mail is to blame for it, and every other one would meet the same.
    """
    is_later = reply.code is None or reply.code < PERMANENT
    return reply.phase in vocabulary.BEFORE_ANY_MAIL or (reply.phase == "mail" and is_later)


def is_cut(reply: Reply) -> bool:
    """Tell whether the conversation ended under the mail: the server closed, hung or was cut off.

    One such mail may itself be the cause; several in a row are not.
    """
    return not is_away(reply) and reply.code in {None, _SERVICE_CLOSING}


CUTS_IN_A_ROW = 3
"""After so many, of different mails and with none delivered between, the server counts as away."""
