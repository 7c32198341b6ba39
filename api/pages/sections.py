"""The sections that everybody sees at the top of each page, by the roles that they hold."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from service import vocabulary
from service.kernel.actor import Actor


@dataclass(frozen=True, slots=True)
class Section:
    """A page that is always one press away: its address, its key in `page.sections`, who has it (all, if nobody).

    Pages whose address begins with its own are of it, and those that begin with one of `also`.
    """

    path: str
    name: str
    roles: Collection[vocabulary.Role] = ()
    also: tuple[str, ...] = ()

    def has(self, path: str) -> bool:
        """Tell whether the page of this address is one of the section's."""
        own = () if self.path == "/" else (f"{self.path}/",)
        return path == self.path or path.startswith(own + self.also)


_ADMINS: Sequence[vocabulary.Role] = ("programme_admin",)
_ASKING: Sequence[vocabulary.Role] = ("clinician", *vocabulary.OVERSEEING_PEOPLE)
_MENTOR: tuple[vocabulary.Role, ...] = ("mentor",)
SECTIONS: Sequence[Section] = (
    Section("/", "home", also=("/consultations/", "/offers/", "/kept")),
    Section("/consultations", "consultations", _ASKING),
    Section("/mine", "mine", _MENTOR),
    Section("/hours", "hours", _MENTOR),
    Section("/people", "people", vocabulary.OVERSEEING_PEOPLE),
    Section("/policy", "policy", _ADMINS, also=("/programmes/",)),
    Section("/operations", "operations", _ADMINS),
)


def of(actor: Actor) -> list[Section]:
    """Give the sections of whoever is signed in, in their order."""
    return [each for each in SECTIONS if not each.roles or any(actor.holds(role) for role in each.roles)]


def current(path: str, listed: Sequence[Section]) -> Section | None:
    """Give the section that a page belongs to, home only if no other; one's own profile belongs to none."""
    return next((each for each in reversed(listed) if each.has(path)), None)
