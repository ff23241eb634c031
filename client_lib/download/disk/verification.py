"""Is what lies on the disk what was bought? Files against their v2 pieces roots (BEP 52)."""

import enum
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from client_lib.download.disk.checksums import CHECKSUMS_FILE
from client_lib.download.disk.naming import comparable
from client_lib.errors import StorageError
from client_lib.plain_file import open_plain, plain_size_bytes
from client_lib.wire.file_tree import TorrentFile
from client_lib.wire.piece_layers import ABSENT_BLOCK, BLOCK_BYTES, merkle_root

_READ_BYTES = 64 * BLOCK_BYTES
MAX_SURPLUS = 10_000
"""Files beside an album's own that are told of."""


class FileState(enum.StrEnum):
    """What verification found."""

    OK = "ok"
    MISSING = "missing"
    WRONG_SIZE = "wrong-size"
    CORRUPT = "corrupt"
    SURPLUS = "surplus"
    """Not of the album: the customer's own, which nothing here touches."""


@dataclass(frozen=True, slots=True)
class FileFinding:
    """One file of an album, by its path below the album folder."""

    path: str
    state: FileState
    length_bytes: int

    @property
    def is_damage(self) -> bool:
        """Whether the album lacks this file, or not all of it is right."""
        return self.state not in (FileState.OK, FileState.SURPLUS)


@dataclass(frozen=True, slots=True)
class VerifyProgress:
    """How far verification is: the file that is being read, and bytes over all files."""

    path: str
    done_bytes: int
    total_bytes: int


def sizes_fit(folder: Path, files: Sequence[TorrentFile], paths: Sequence[str]) -> bool:
    """Tell whether every file is there with its length, without reading any."""
    return all(
        plain_size_bytes(folder / path) == file.length_bytes
        for file, path in zip(files, paths, strict=True)
    )


def verify_files(
    folder: Path,
    files: Sequence[TorrentFile],
    paths: Sequence[str],
    on_progress: Callable[[VerifyProgress], None] = lambda _progress: None,
) -> tuple[FileFinding, ...]:
    """Hash every file; what `on_progress` raises stops it. Blocking: run it in a thread.

    Raises StorageError for a file that is there and cannot be read.
    """
    total_bytes = sum(file.length_bytes for file in files)
    before_bytes = 0
    findings: list[FileFinding] = []
    for file, path in zip(files, paths, strict=True):
        read_bytes = before_bytes

        def on_bytes(count: int, path: str = path) -> None:
            nonlocal read_bytes
            read_bytes += count
            on_progress(VerifyProgress(path, read_bytes, total_bytes))

        state = _file_state(folder / path, file, on_bytes)
        findings.append(FileFinding(path, state, file.length_bytes))
        before_bytes += file.length_bytes
        on_progress(VerifyProgress(path, before_bytes, total_bytes))
    return tuple(findings)


def surplus_files(folder: Path, paths: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Path and length of the plain files below an album's folder that are not the album's.

    At most MAX_SURPLUS, by name; links are not followed. `checksums.sha256` is ours. Blocking.
    """
    own = {comparable(path) for path in (*paths, CHECKSUMS_FILE)}
    found = 0
    for where, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(where, name)
            length = plain_size_bytes(path)
            relative = path.relative_to(folder).as_posix()
            if length is None or comparable(relative) in own:
                continue
            found += 1
            if found > MAX_SURPLUS:
                return
            yield relative, length


def _file_state(path: Path, file: TorrentFile, on_bytes: Callable[[int], None]) -> FileState:
    length = plain_size_bytes(path)
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
    with os.fdopen(open_plain(path), "rb") as content:
        while chunk := content.read(_READ_BYTES):
            for start in range(0, len(chunk), BLOCK_BYTES):
                leaves += sha256(memoryview(chunk)[start : start + BLOCK_BYTES]).digest()
            on_bytes(len(chunk))
    return merkle_root(bytes(leaves), ABSENT_BLOCK)
