"""A newer version of the program: a copy of this one whose schema goes further, to run beside it on one database."""

import shutil
from pathlib import Path

from integrations.runtime import schema_version
from postoffice import ROOT
from service.vocabulary import LOCALES

_VERSION = """\
from alembic import op

revision = {name!r}
down_revision = {before!r}


def upgrade():
{steps}
"""


class Schema:
    """Versions of the schema: those of this program, and more."""

    def __init__(self, folder: Path) -> None:
        """Copy those that there are into the folder."""
        self.folder, self._last = folder / "migrations", str(schema_version.head())
        shutil.copytree(schema_version.FOLDER, self.folder, ignore=shutil.ignore_patterns("__pycache__"))
        self._count = 0

    def add(self, name: str, *statements: str) -> str:
        """Have one version more, made of these statements; gives its name."""
        return self.add_written(name, "\n".join(f"op.execute({statement!r})" for statement in statements))

    def add_written(self, name: str, steps: str) -> str:
        """Have one version more, whose `upgrade` is this Python; gives its name."""
        self._count += 1
        whole = f"2099_01_{self._count:02}_{name}"
        lines = "".join(f"    {line}\n" for line in steps.splitlines())
        text = _VERSION.format(name=whole, before=self._last, steps=lines)
        (self.folder / "versions" / f"{whole}.py").write_text(text)
        self._last = whole
        return whole


class Program:
    """The whole program, with a schema of its own; started in its folder."""

    def __init__(self, folder: Path) -> None:
        """Have it in the folder."""
        self.folder, self.schema = folder, Schema(folder)
        for name in ("api", "service"):
            (folder / name).symlink_to(ROOT / name)
        shutil.copytree(ROOT / "integrations", folder / "integrations")  # it looks for the versions beside itself

    def change(self, file: str, before: str, after: str) -> None:
        """Let one of its files of `service` say something else."""
        service = self.folder / "service"
        if service.is_symlink():
            service.unlink()
            shutil.copytree(ROOT / "service", service)
        text = (self.folder / file).read_text()
        assert text.count(before) == 1, before
        (self.folder / file).write_text(text.replace(before, after))

    def learn(self, letter: str, subject: str) -> None:
        """Let it have one letter more, in every language."""
        for catalogue in (self.folder / "integrations" / "catalogues").glob("*.po"):
            with catalogue.open("a") as file:
                for key in ("subject", "text"):
                    file.write(f'\nmsgctxt "letter.{letter}"\nmsgid "{key}"\nmsgstr "{subject}"\n')

    def speak(self, locale: str, catalogue: bytes) -> None:
        """Let it have one language more: its catalogue, its entry, and the version of the schema that takes it."""
        (self.folder / "integrations" / "catalogues" / f"{locale}.po").write_bytes(catalogue)
        (self.folder / "service").unlink()
        shutil.copytree(ROOT / "service", self.folder / "service")
        vocabulary = self.folder / "service" / "vocabulary.py"
        entries = ", ".join(f'"{each}"' for each in LOCALES)
        text = vocabulary.read_text().replace(
            f"Locale = Literal[{entries}]", f'Locale = Literal[{entries}, "{locale}"]'
        )
        vocabulary.write_text(text)
        known = ", ".join(f"'{each}'" for each in (*LOCALES, locale))
        self.schema.add(
            f"speak_{locale}",
            "ALTER TABLE person DROP CONSTRAINT ck_person_locale_known",
            f"ALTER TABLE person ADD CONSTRAINT ck_person_locale_known CHECK (locale IN ({known}))",
        )
