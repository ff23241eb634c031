"""Is what lies on the disk what was bought? Files against their v2 pieces roots (BEP 52)."""

import enum
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from client_lib.errors import StorageError
from client_lib.wire.file_tree import TorrentFile
from client_lib.wire.piece_layers import BLOCK_BYTES, merkle_root

_READ_BYTES = 64 * BLOCK_BYTES
_NO_BLOCK = bytes(32)  # BEP 52: leaves beyond the end of the file


class FileState(enum.StrEnum):
    """What verification found."""

    OK = "ok"
    MISSING = "missing"
    WRONG_SIZE = "wrong-size"
    CORRUPT = "corrupt"


@dataclass(frozen=True, slots=True)
class FileFinding:
    """One file of an album, by its path below the album folder."""

    path: str
    state: FileState
    length_bytes: int


def sizes_fit(folder: Path, files: Sequence[TorrentFile], paths: Sequence[str]) -> bool:
    """Tell whether every file is there with its length, without reading any."""
    return all(
        _length(folder / path) == file.length_bytes for file, path in zip(files, paths, strict=True)
    )


def verify_files(
    folder: Path,
    files: Sequence[TorrentFile],
    paths: Sequence[str],
    on_bytes: Callable[[int], None] = lambda _count: None,
) -> tuple[FileFinding, ...]:
    """Hash every file; `on_bytes` is told how much was read. Blocking: run it in a thread.

    Raises StorageError for a file that is there and cannot be read.
    """
    return tuple(
        FileFinding(path, _file_state(folder / path, file, on_bytes), file.length_bytes)
        for file, path in zip(files, paths, strict=True)
    )


def _length(path: Path) -> int | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _file_state(path: Path, file: TorrentFile, on_bytes: Callable[[int], None]) -> FileState:
    length = _length(path)
    if length is None:
        return FileState.MISSING
    if length != file.length_bytes:
        return FileState.WRONG_SIZE
    if file.pieces_root is None:
        return FileState.OK
    try:
        root = _pieces_root(path, on_bytes)
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    return FileState.OK if root == file.pieces_root else FileState.CORRUPT


def _pieces_root(path: Path, on_bytes: Callable[[int], None]) -> bytes:
    leaves = bytearray()
    with path.open("rb") as content:
        while chunk := content.read(_READ_BYTES):
            for start in range(0, len(chunk), BLOCK_BYTES):
                leaves += sha256(memoryview(chunk)[start : start + BLOCK_BYTES]).digest()
            on_bytes(len(chunk))
    return merkle_root(bytes(leaves), _NO_BLOCK)
