"""The encrypted container: whole and unchanged, or an error."""

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_lib.errors import StorageError
from client_lib.passphrase import Passphrase
from licensing.backups.sealed import (
    CHUNK_BYTES,
    MAGIC,
    TAG_BYTES,
    SealedReader,
    SealingWriter,
)

PASSPHRASE = Passphrase(b"correct horse")
HEADER_BYTES = len(MAGIC) + 3 + 16
SEALED_CHUNK = CHUNK_BYTES + TAG_BYTES


def seal(*pieces: bytes, finish: bool = True) -> bytes:
    file = io.BytesIO()
    writer = SealingWriter(file, PASSPHRASE, salt=bytes(16), log_n=1)
    for piece in pieces:
        writer.write(piece)
    if finish:
        writer.finish()
    return file.getvalue()


def open_sealed(sealed: bytes, size: int, passphrase: Passphrase = PASSPHRASE) -> bytes:
    reader = SealedReader(io.BytesIO(sealed), passphrase, name="b.backup")
    data = reader.read(size)
    reader.require_end()
    return data


sizes = st.integers(0, 3).flatmap(
    lambda chunks: st.integers(-2, 2).map(lambda more: max(0, chunks * CHUNK_BYTES + more))
)


@given(sizes, st.integers(1, CHUNK_BYTES * 2))
def test_everything_comes_back(size: int, piece: int) -> None:
    data = bytes(size)
    pieces = [data[start : start + piece] for start in range(0, size, piece)]
    sealed = seal(*pieces)
    assert open_sealed(sealed, size) == data
    with pytest.raises(StorageError, match="ends too early"):
        open_sealed(sealed, size + 1)
    if size:
        with pytest.raises(StorageError, match="goes on after its end"):
            open_sealed(sealed, size - 1)


@given(sizes, st.data())
def test_any_damage_is_noticed(size: int, draw: st.DataObject) -> None:
    sealed = bytearray(seal(bytes(size)))
    where = draw.draw(st.integers(0, len(sealed) - 1))
    if len(MAGIC) <= where < len(MAGIC) + 3:
        return  # cost of the key: not worth the gigabyte that it may take to find out here
    sealed[where] ^= 1 << draw.draw(st.integers(0, 7))
    with pytest.raises(StorageError, match=r"b\.backup"):
        open_sealed(bytes(sealed), size)


@given(sizes, st.data())
def test_any_cut_and_any_addition_is_noticed(size: int, draw: st.DataObject) -> None:
    sealed = seal(bytes(size))
    cut = sealed[: draw.draw(st.integers(0, len(sealed) - 1))]
    for broken in (cut, sealed + b"\0", sealed + sealed[-SEALED_CHUNK:]):
        with pytest.raises(StorageError, match=r"b\.backup"):
            open_sealed(broken, size)


def test_cut_between_chunks_and_swapped_chunks_are_noticed() -> None:
    data = bytes(range(256)) * (CHUNK_BYTES // 256) * 3
    sealed = seal(data)
    head, rest = sealed[:HEADER_BYTES], sealed[HEADER_BYTES:]
    chunks = [rest[start : start + SEALED_CHUNK] for start in range(0, len(rest), SEALED_CHUNK)]
    assert len(chunks) == 3
    for kept in (chunks[:2], chunks[1:], [chunks[1], chunks[0], chunks[2]], chunks + chunks[-1:]):
        with pytest.raises(StorageError, match="damaged or cut off"):
            open_sealed(head + b"".join(kept), len(data))
    with pytest.raises(StorageError, match="damaged or cut off"):
        open_sealed(seal(data, finish=False), len(data))


def test_wrong_passphrase_is_said_to_be_one() -> None:
    with pytest.raises(StorageError, match="the passphrase is wrong"):
        open_sealed(seal(b"secret"), 6, Passphrase(b"battery staple"))


@pytest.mark.parametrize("sealed", [b"", b"albumswarm", bytes(200), b"SQLite format 3\0" * 10])
def test_other_files_are_no_backups(sealed: bytes) -> None:
    with pytest.raises(StorageError, match=r"b\.backup is not a backup"):
        open_sealed(sealed, 1)


@pytest.mark.parametrize("cost", [(0, 8, 1), (40, 8, 1), (17, 255, 1), (17, 8, 255)])
def test_header_cannot_ask_for_all_our_memory(cost: tuple[int, int, int]) -> None:
    sealed = MAGIC + struct.pack("BBB", *cost) + bytes(16 + TAG_BYTES)
    with pytest.raises(StorageError, match="unreasonable"):
        open_sealed(sealed, 1)


def test_nothing_of_the_content_is_readable() -> None:
    assert b"secret" not in seal(b"secret" * 100)
    assert repr(PASSPHRASE) == "Passphrase(…)"
