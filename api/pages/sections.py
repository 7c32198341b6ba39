"""The sections that everybody sees at the top of each page, by the roles that they hold."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from service import vocabulary
from service.kernel.actor import Actor


@dataclass(frozen=True, slots=True)
class Section:
    """A page that is always one press away: its address, its key in `page.sections`, who has it (all, if nobody)."""

    path: str
    name: str
    roles: Collection[vocabulary.Role] = ()


_ADMINS: Sequence[vocabulary.Role] = ("programme_admin",)
_MENTOR: tuple[vocabulary.Role, ...] = ("mentor",)
SECTIONS: Sequence[Section] = (
    Section("/", "home"),
    Section("/mine", "mine", _MENTOR),
    Section("/hours", "hours", _MENTOR),
    Section("/people", "people", vocabulary.OVERSEEING_PEOPLE),
    Section("/policy", "policy", _ADMINS),
    Section("/operations", "operations", _ADMINS),
)


def of(actor: Actor) -> list[Section]:
    """Give the sections of whoever is signed in, in their order."""
    return [each for each in SECTIONS if not each.roles or any(actor.holds(role) for role in each.roles)]


def current(path: str, listed: Sequence[Section]) -> Section | None:
    """Give the section that a page belongs to: the one whose address begins its own."""
    fitting = [each for each in listed if path == each.path or path.startswith(f"{each.path.rstrip('/')}/")]
    return max(fitting, key=lambda each: len(each.path), default=None)
