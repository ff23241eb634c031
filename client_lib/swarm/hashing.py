"""Hashing files into the trees of a v2 torrent (BEP 52), on all cores, and copying them meanwhile.

Threads, because OpenSSL hashes without the GIL: two of them take 1.5 to 1.7 times what one does
on two cores. libtorrent's own `set_piece_hashes` hashes one file at a time and holds the GIL.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import trio

from client_lib.errors import StorageError
from client_lib.nursery import open_quiet_nursery
from client_lib.plain_file import open_plain
from client_lib.wire.piece_layers import (
    ABSENT_BLOCK,
    BLOCK_BYTES,
    HASH_BYTES,
    layer_above,
    merkle_root,
    padding_hash,
)

Progress = Callable[[int, int], None]
"""Called with the bytes done and the bytes to do. What it raises stops the work."""

_BUFFER_BYTES = 1 << 18  # what stays in a core's cache between reading, hashing and writing
_STRETCH_BYTES = 8 << 20
"""What a thread takes at a time: long enough that handing it out costs nothing."""


@dataclass(frozen=True, slots=True)
class ContentFile:
    """A plain file of a torrent, and where it lies. With `copy_to`, a new file, it is copied."""

    path: tuple[str, ...]
    source: Path
    size_bytes: int
    copy_to: Path | None = None


@dataclass(frozen=True, slots=True)
class HashTree:
    """What a torrent says of a file: the `pieces root`, and its piece layer.

    `root` is None for an empty file; `layer` is empty for one no longer than a piece. `sha256` is
    the digest of the whole file, if it was asked for and the file is not empty.
    """

    root: bytes | None
    layer: bytes = b""
    sha256: bytes | None = None

    def piece_hashes(self) -> list[bytes]:
        """Hashes of the pieces: of a file no longer than one, its root."""
        layer = self.layer or self.root or b""
        return [layer[at : at + HASH_BYTES] for at in range(0, len(layer), HASH_BYTES)]


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A part of a file, for one thread. `whole`, if any, takes the file's stretches in order."""

    file: ContentFile
    begin_bytes: int
    end_bytes: int
    whole: "hashlib._Hash | None" = None


async def hash_files(
    files: Sequence[ContentFile],
    piece_length_bytes: int,
    on_progress: Progress | None = None,
    *,
    whole: bool = False,
) -> list[HashTree]:
    """Hash every file, in the order given; with `whole` a second time, for `sha256`.

    What is hashed is what is written to `copy_to`, byte for byte; copies are on the disk when this
    returns. Cancelled, it stops within milliseconds. Raises StorageError if a file cannot be read,
    is shorter than was said, or cannot be written. Whether a file changed meanwhile is for the
    caller to tell.
    """
    total_bytes = sum(file.size_bytes for file in files)
    unit_bytes = min(piece_length_bytes, _BUFFER_BYTES)
    stretches = list(_stretches(files, whole=whole))
    remaining = iter(_shares(stretches))
    roots = [b""] * len(stretches)
    done_bytes = 0
    cores = len(os.sched_getaffinity(0))
    limiter = trio.CapacityLimiter(cores)

    async def work() -> None:
        nonlocal done_bytes
        buffer = memoryview(bytearray(_BUFFER_BYTES))
        for share in remaining:  # which all workers take from
            for number in share:
                stretch = stretches[number]
                roots[number] = await trio.to_thread.run_sync(
                    _hash_stretch, stretch, unit_bytes, buffer, limiter=limiter
                )
                done_bytes += stretch.end_bytes - stretch.begin_bytes
                if on_progress is not None:
                    on_progress(done_bytes, total_bytes)

    await trio.to_thread.run_sync(_make_empty, files, limiter=limiter)
    async with open_quiet_nursery() as nursery:
        for _ in range(cores):
            nursery.start_soon(work)
    await trio.to_thread.run_sync(_sync, files, limiter=limiter)
    return _trees(files, stretches, roots, unit_bytes, piece_length_bytes)


def hash_files_here(
    files: Sequence[ContentFile],
    piece_length_bytes: int,
    on_progress: Progress | None = None,
    *,
    whole: bool = False,
) -> list[HashTree]:
    """`hash_files` in this thread, which blocks meanwhile."""
    total_bytes = sum(file.size_bytes for file in files)
    unit_bytes = min(piece_length_bytes, _BUFFER_BYTES)
    stretches = list(_stretches(files, whole=whole))
    roots = []
    done_bytes = 0
    _make_empty(files)
    buffer = memoryview(bytearray(_BUFFER_BYTES))
    for stretch in stretches:
        roots.append(_hash_stretch(stretch, unit_bytes, buffer))
        done_bytes += stretch.end_bytes - stretch.begin_bytes
        if on_progress is not None:
            on_progress(done_bytes, total_bytes)
    _sync(files)
    return _trees(files, stretches, roots, unit_bytes, piece_length_bytes)


def _stretches(files: Sequence[ContentFile], *, whole: bool) -> Iterator[_Stretch]:
    for file in files:
        digest = hashlib.sha256() if whole else None
        for begin in range(0, file.size_bytes, _STRETCH_BYTES):
            yield _Stretch(file, begin, min(begin + _STRETCH_BYTES, file.size_bytes), digest)


def _shares(stretches: Sequence[_Stretch]) -> list[list[int]]:
    """What a worker takes at a time: a stretch, or those of a file that is hashed as a whole."""
    numbered = enumerate(stretches)
    together = groupby(numbered, lambda one: one[0] if one[1].whole is None else one[1].file.path)
    return [[number for number, _ in share] for _, share in together]


def _hash_stretch(stretch: _Stretch, unit_bytes: int, buffer: memoryview) -> bytes:
    """Roots of the stretch's units, one after another."""
    file, hashes = stretch.file, []
    blocks = [buffer[begin : begin + BLOCK_BYTES] for begin in range(0, len(buffer), BLOCK_BYTES)]
    with ExitStack() as stack:
        source = _open_source(file.source)
        stack.callback(os.close, source)
        target = None
        if file.copy_to is not None:
            target = _open_copy(file.copy_to, os.O_WRONLY)
            stack.callback(os.close, target)
        for at in range(stretch.begin_bytes, stretch.end_bytes, len(buffer)):
            data = buffer[: stretch.end_bytes - at]
            _read(file, source, data, at)
            if target is not None:
                _write(file, target, data, at)
            if stretch.whole is not None:
                stretch.whole.update(data)
            full, rest = divmod(len(data), BLOCK_BYTES)
            hashes += [hashlib.sha256(block).digest() for block in blocks[:full]]
            if rest:
                hashes.append(hashlib.sha256(data[-rest:]).digest())
    leaves = b"".join(hashes)
    if file.size_bytes <= unit_bytes:  # its only unit is no higher than it need be
        return merkle_root(leaves, ABSENT_BLOCK)
    return _reduced(leaves, unit_bytes // BLOCK_BYTES, ABSENT_BLOCK)


def _reduced(layer: bytes, group: int, padding: bytes) -> bytes:
    """Roots of groups of so many hashes, a power of two; the last group is padded."""
    layer += padding * (-len(layer) // HASH_BYTES % group)
    return layer_above(layer, group.bit_length() - 1)


def _trees(
    files: Sequence[ContentFile],
    stretches: Sequence[_Stretch],
    roots: Sequence[bytes],
    unit_bytes: int,
    piece_length_bytes: int,
) -> list[HashTree]:
    units: dict[tuple[str, ...], list[bytes]] = {file.path: [] for file in files}
    digests: dict[tuple[str, ...], bytes] = {}
    for stretch, found in zip(stretches, roots, strict=True):
        units[stretch.file.path].append(found)
        if stretch.whole is not None:
            digests[stretch.file.path] = stretch.whole.digest()
    return [
        HashTree(
            *_tree(file, b"".join(units[file.path]), unit_bytes, piece_length_bytes),
            digests.get(file.path),
        )
        for file in files
    ]


def _tree(
    file: ContentFile, units: bytes, unit_bytes: int, piece_length_bytes: int
) -> tuple[bytes | None, bytes]:
    """Root and piece layer."""
    if file.size_bytes == 0:
        return None, b""
    padding = padding_hash(unit_bytes)
    if file.size_bytes <= piece_length_bytes:
        return merkle_root(units, padding), b""
    layer = _reduced(units, piece_length_bytes // unit_bytes, padding)
    return merkle_root(layer, padding_hash(piece_length_bytes)), layer


def _make_empty(files: Sequence[ContentFile]) -> None:
    for path in [file.copy_to for file in files if file.copy_to is not None]:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("xb").close()
        except OSError as error:
            raise StorageError(f"cannot write {path}: {error.strerror}") from error


def _open_source(path: Path) -> int:
    try:
        return open_plain(path)
    except OSError as error:
        raise StorageError(f"cannot open {path}: {error.strerror}") from error


def _open_copy(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise StorageError(f"cannot open {path}: {error.strerror}") from error


def _read(file: ContentFile, descriptor: int, into: memoryview, at: int) -> None:
    done = 0
    try:
        while done < len(into):
            count = os.preadv(descriptor, [into[done:]], at + done)
            if not count:
                raise StorageError(f"{file.source} changed while it was being read: it is shorter")
            done += count
    except OSError as error:
        raise StorageError(f"cannot read {file.source}: {error.strerror}") from error


def _write(file: ContentFile, descriptor: int, data: memoryview, at: int) -> None:
    done = 0
    try:
        while done < len(data):
            done += os.pwrite(descriptor, data[done:], at + done)
    except OSError as error:
        raise StorageError(f"cannot write {file.copy_to}: {error.strerror}") from error


def _sync(files: Sequence[ContentFile]) -> None:
    for path in [file.copy_to for file in files if file.copy_to is not None]:
        descriptor = _open_copy(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            raise StorageError(f"cannot write {path}: {error.strerror}") from error
        finally:
            os.close(descriptor)
