"""Types the program's commands, as an operator does at a terminal."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from api.cli import main

Run = Callable[..., tuple[int, str, str]]


def over(data_dir: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *first: str) -> Run:
    """Have commands typed that begin with `first`, over a data directory, with settings by their short names.

    Each gives its status, what it printed, what it complained of.
    """

    capfd.readouterr()  # what starting the server said is no command's

    def typed(*words: str, **variables: str) -> tuple[int, str, str]:
        monkeypatch.setenv("POBRATYM_DATA_DIR", str(data_dir))
        for name, value in variables.items():
            monkeypatch.setenv(f"POBRATYM_{name}", value)
        monkeypatch.setattr(sys, "argv", ["pobratym", *first, *words])
        try:
            main.main()
        except SystemExit as ended:
            status = int(ended.code or 0)
        else:
            status = 0
        said = capfd.readouterr()
        return status, said.out, said.err

    return typed
