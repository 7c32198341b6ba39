"""What `--help` says: whole sentences, and every kind of file."""

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from api.cli import main
from service import vocabulary

GROUPS: list[list[str]] = [[], ["log"], ["report"], ["person"], ["mail"], ["restore"]]


@pytest.mark.parametrize("group", GROUPS, ids=" ".join)
def test_each_command_is_listed_with_a_whole_sentence(group: list[str]) -> None:
    said = CliRunner().invoke(main.commands, [*group, "--help"]).output
    listed = said.partition("Commands:\n")[2].splitlines()
    assert listed
    assert [line for line in listed if not line.endswith(".") or line.endswith("..")] == []


def test_every_group_is_looked_at() -> None:
    program = typer.main.get_command(main.commands)
    assert isinstance(program, TyperGroup)
    groups = {name for name, command in program.commands.items() if isinstance(command, TyperGroup)}
    assert groups == {name for group in GROUPS for name in group}


def test_every_kind_of_file_that_can_be_taken_in_is_named() -> None:
    said = CliRunner().invoke(main.commands, ["import", "--help"]).output
    assert all(kind in said for kind in vocabulary.RECORD_KINDS)
    assert "…" not in said
