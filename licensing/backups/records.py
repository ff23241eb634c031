"""What is inside a backup: a manifest, the folder's files, the ledger's tables row by row."""

import struct
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import msgspec

from client_lib.errors import StorageError
from licensing.backups.sealed import SealedReader, SealingWriter

BATCH_BYTES = 64 << 10
_LARGEST_RECORD_BYTES = 64 << 20  # a batch with the largest torrent, and to spare
_LENGTH = struct.Struct(">I")

Row = tuple[Any, ...]
_VALUES = frozenset({str, int, bytes, type(None)})


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="record"):
    pass


class Manifest(_Record, frozen=True, tag="manifest"):
    """First of all. `made_at` in RFC 3339; `steps` of the schema; `ledger` as configured."""

    made_at: str
    version: str
    ledger: str
    steps: tuple[str, ...]
    events: int
    head: bytes


class File(_Record, frozen=True, tag="file"):
    """A file; `path` is relative to the data folder. `outside`: where it was, if elsewhere."""

    path: Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
    mode: int
    data: bytes
    outside: str = ""


class TableStart(_Record, frozen=True, tag="table"):
    """A table begins; batches of its rows follow."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z_]+\Z")]
    columns: tuple[Annotated[str, msgspec.Meta(pattern=r"^[a-z_]+\Z")], ...]


class Rows(_Record, frozen=True, tag="rows"):
    """Some rows, with their values in the order of `TableStart.columns`."""

    rows: tuple[tuple[Any, ...], ...]


class TableEnd(_Record, frozen=True, tag="table-end"):
    """The table's rows were so many."""

    count: int


class End(_Record, frozen=True, tag="end"):
    """Last of all."""


Record = Manifest | File | TableStart | Rows | TableEnd | End

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)


def write_record(writer: SealingWriter, record: Record) -> None:
    """Append one record. Raises OSError."""
    data = _encoder.encode(record)
    writer.write(_LENGTH.pack(len(data)))
    writer.write(data)


def write_table(
    writer: SealingWriter, name: str, columns: tuple[str, ...], rows: Iterable[Row]
) -> int:
    """Append a table; how many rows it had. Raises OSError."""
    write_record(writer, TableStart(name, columns))
    count, size, batch = 0, 0, []
    for row in rows:
        batch.append(row)
        count += 1
        size += sum(len(value) if isinstance(value, str | bytes) else 8 for value in row)
        if size >= BATCH_BYTES:
            write_record(writer, Rows(tuple(batch)))
            size, batch = 0, []
    write_record(writer, Rows(tuple(batch)))
    write_record(writer, TableEnd(count))
    return count


class RecordReader:
    """Reads records one by one. `name` is what errors call the backup."""

    def __init__(self, reader: SealedReader, *, name: str) -> None:
        """Read nothing yet."""
        self._reader = reader
        self._name = name

    def next(self) -> Record:
        """The next record. Raises StorageError."""
        (length,) = _LENGTH.unpack(self._reader.read(_LENGTH.size))
        if length > _LARGEST_RECORD_BYTES:
            raise self.unexpected(f"a record of {length} bytes")
        try:
            record: Record = _decoder.decode(self._reader.read(length))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise self.unexpected(f"a record of another version ({error})") from error
        return record

    def rows(self, columns: int) -> Iterator[Row]:
        """The rows of the table that has begun. Raises StorageError."""
        count = 0
        while isinstance(record := self.next(), Rows):
            for row in record.rows:
                if len(row) != columns or not _VALUES.issuperset(map(type, row)):
                    raise self.unexpected("a row that does not fit its table")
                yield row
            count += len(record.rows)
        if not isinstance(record, TableEnd) or record.count != count:
            raise self.unexpected(f"a table that ends after {count} rows")

    def require_end(self) -> None:
        """Raise StorageError if anything follows."""
        self._reader.require_end()

    def unexpected(self, what: str) -> StorageError:
        """The error for a backup that decrypts but cannot be understood."""
        return StorageError(f"{self._name} holds {what}: restore it with the version that made it")
