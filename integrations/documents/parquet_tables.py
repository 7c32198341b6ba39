"""Tables as Parquet, written a row group at a time; needs the package `pyarrow`, of the extra `parquet`."""

import contextlib
import importlib.util
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from service.exchange import analysis

_GROUP_ROWS = 120_000  # readers work on one group at a time, and each column of it is encoded anew


class NotInstalled(Exception):
    """pyarrow is not there."""


class Table:
    """A file that is being written: rows are gathered until there are enough for a row group."""

    def __init__(self, writer: Any) -> None:  # noqa: ANN401 - pyarrow has no types
        """Write by this writer; see `opened`."""
        self._writer = writer
        self._waiting: list[Any] = []
        self.rows = 0

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        """Take some rows, whose values are in the order of the columns."""
        import pyarrow as pa  # noqa: PLC0415

        schema = self._writer.schema
        arrays = [pa.array(values, field.type) for values, field in zip(zip(*rows, strict=True), schema, strict=True)]
        self._waiting.append(pa.record_batch(arrays, schema=schema))
        self.rows += len(rows)
        if sum(batch.num_rows for batch in self._waiting) >= _GROUP_ROWS:
            self._write()

    def finish(self) -> None:
        """Write what waits, and the file's end."""
        self._write()
        self._writer.close()

    def _write(self) -> None:
        import pyarrow as pa  # noqa: PLC0415

        waiting, self._waiting = self._waiting, []
        if waiting:
            self._writer.write_table(pa.Table.from_batches(waiting).unify_dictionaries())


@contextlib.contextmanager
def opened(file: BinaryIO, columns: Sequence[analysis.Column]) -> Iterator[Table]:
    """Have a table with these columns that is written into the file; raises NotInstalled.

    Text columns of ids are written as they are, those of codes by dictionaries. Instants are microseconds in UTC.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise NotInstalled
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import parquet  # noqa: PLC0415

    forms = {
        "id": pa.string(),
        "code": pa.dictionary(pa.int32(), pa.string()),
        "codes": pa.list_(pa.field("element", pa.string(), nullable=False)),
        "integer": pa.int32(),
        "flag": pa.bool_(),
        "instant": pa.timestamp("us", tz="UTC"),
        "date": pa.date32(),
    }
    schema = pa.schema([pa.field(column.name, forms[column.form], column.is_nullable) for column in columns])
    coded = [column.name for column in columns if column.form == "code"]
    writer = parquet.ParquetWriter(file, schema, compression="zstd", use_dictionary=coded)
    try:
        yield Table(writer)
    finally:
        with contextlib.suppress(OSError):  # what went wrong is told already
            writer.close()
