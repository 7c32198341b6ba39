import pytest

from service.rules.figures import journal_columns


@pytest.mark.parametrize("columns", [("number",), journal_columns.COLUMNS, journal_columns.USUAL, ("mentor", "number")])
def test_known_columns_are_a_journal_in_whatever_order(columns: tuple[str, ...]) -> None:
    assert journal_columns.unknown(columns) is None


@pytest.mark.parametrize("columns", [(), ("patient",), ("number", "patient"), ("number", "mentor", "number")])
def test_no_columns_strange_ones_or_one_twice_are_refused_with_those_there_are(columns: tuple[str, ...]) -> None:
    fault = journal_columns.unknown(columns)
    assert fault is not None
    assert fault.startswith("must be some of these, each once: number, filed_at, side, ")
