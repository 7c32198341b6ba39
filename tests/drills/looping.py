"""Measures what holds the event loop: the longest step of it, in processor time of its own thread (SEC-01)."""

# ruff: noqa: RUF001, T201 - Cyrillic texts; printed for `make drills`

import asyncio
from dataclasses import dataclass, field

MOST_SECONDS = 0.1
COSTLY = {
    "accents in every order": ("a" + "\u0316\u0301" * 4) * 1_200,
    "accents without an end": "a" + "\u0316\u0301" * 5_000,
    "marks that take two to write": "a" + "\u0f73" * 9_999,
    "zero widths": "\u200b0\u200b6\u200b7" * 1_700,
    "digits": "0 67-" * 2_000,
    "digits without an end": "1" * 10_000,
    "dates": "12.3.85 " * 1_250,
    "quotes": "«\"'„" * 2_500,
    "encoded words": "=?utf-8?b?" * 1_000,
    "addresses": "a.b@c-d.e." * 1_000,
    "one long address": "a." * 4_000 + "@" + "b." * 999,
    "names": "Ковальчук О. М. " * 625,
    "initials": "А. " * 3_333,
    "capitals": "Іваненко " * 1_110,
    "streets": "вул. " * 2_000,
    "blanks": " \t\n" * 3_333,
    "hyphens": "а-" * 5_000,
}


@dataclass
class Loop:
    """The longest step of the loop by what was going on: seconds of the loop's own thread."""

    longest: dict[str, float] = field(default_factory=dict)
    doing: str = ""

    async def begin(self, doing: str) -> None:
        """Let what the test itself did end; from here on the time is that of what is named."""
        self.doing = ""
        await asyncio.sleep(0)
        self.doing = doing

    def note(self, seconds: float) -> None:
        self.longest[self.doing] = max(seconds, self.longest.get(self.doing, 0))

    def too_long(self) -> list[str]:
        """Print the ten longest steps; gives what held the loop longer than anything may."""
        self.longest.pop("", None)
        worst = sorted(self.longest.items(), key=lambda item: -item[1])
        for doing, seconds in worst[:10]:
            print(f"{seconds * 1000:7.1f} ms  {doing}")
        return [doing for doing, seconds in worst if seconds > MOST_SECONDS]
