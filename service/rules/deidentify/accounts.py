"""Accounts of messengers and networks, by which whoever reads a text finds the person: links, and names after a sign.

A telephone that such a word stands before is a telephone (`telephones`).
"""

# ruff: noqa: RUF001 - the patterns are made for Ukrainian text

import re
from collections.abc import Iterator

_LINK = re.compile(
    r"(?<![\w.-])(?:https?://)?(?:www\.|m\.)?(?i:t\.me|telegram\.me|wa\.me|vk\.com|ok\.ru|facebook\.com|fb\.com"
    r"|fb\.me|m\.me|instagram\.com|linkedin\.com/in|tiktok\.com|twitter\.com|x\.com|threads\.net|viber\.me|signal\.me|line\.me)"
    r"/[\w.@+%#-]{2,64}"
)
_SIGNED = re.compile(r"(?<![\w.@/+-])@[A-Za-z](?=\w{0,31}[_\d])[\w.]{3,31}", re.ASCII)  # @mama_koval, not @bedside
_NETWORK = (
    r"(?:telegram|телеграм\w{0,2}|viber|вайбер\w{0,2}|whats ?app|в[ао]т?с?ап\w{0,2}|insta(?:gram)?"
    r"|[іи]нста(?:грам)?\w{0,2}|facebook|фейсбук\w{0,2}|skype|скайп\w{0,2}|tik ?tok|т[іи]кток\w{0,2}|linkedin"
    r"|snapchat|discord|messenger|мессенджер\w{0,2})"
)
_SHORT = r"(?:tg|тг|fb|фб|vk|вк|ig|signal|сигнал|line)"
_NAMED = re.compile(
    rf"\b(?i:{_NETWORK})\b(?:[^\n@]{{0,24}}?(?P<after_sign>@[A-Za-z][\w.]{{2,31}})"
    r"|(?i:(?: ?: ?| [–—-] )(?:live:)?)(?P<after_colon>[A-Za-z][\w.]{3,40})"
    r"|\s(?P<loose>[A-Za-z](?=[\w.]{0,31}[_.\d])[\w.]{3,40}))"
)
_SHORTLY_NAMED = re.compile(
    rf"\b(?i:{_SHORT})\b[ :–—-]{{0,3}}"
    r"(?:(?P<after_sign>@[A-Za-z][\w.]{2,31})|(?P<loose>[A-Za-z][a-z\d.]{0,40}_[\w.]{2,40}))"
)


def find(text: str) -> Iterator[tuple[int, int]]:
    """Give the places of the accounts in a plain text (`folding`), half-open."""
    yield from (match.span() for match in _LINK.finditer(text))
    yield from (match.span() for match in _SIGNED.finditer(text))
    for pattern in (_NAMED, _SHORTLY_NAMED):
        yield from (match.span(match.lastgroup or 0) for match in pattern.finditer(text))
