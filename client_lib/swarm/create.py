"""Torrents of this network, made from a folder: v2-only, private, sealed, the same every time."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import trio

from client_lib.errors import MetainfoError, StorageError
from client_lib.swarm.hashing import ContentFile, HashTree, Progress, hash_files, hash_files_here
from client_lib.wire import bencode
from client_lib.wire.bencode import Bencodable
from client_lib.wire.certificates import certificate_pem, load_certificate
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.piece_layers import check_piece_length
from client_lib.wire.release import TorrentName

_KIB, _MIB, _GIB = 1 << 10, 1 << 20, 1 << 30
# Small pieces let customers exchange sooner: 8 customers finished 64 MB in 64.3 s with 256 KiB
# pieces and in 61-63 s with 32 KiB. But every piece costs 32 bytes of the torrent and a HAVE
# message to every peer, so large releases get larger ones: at most 2,048 to 16,384 pieces.
_PIECE_LENGTHS = (
    (128 * _MIB, 64 * _KIB),
    (256 * _MIB, 128 * _KIB),
    (1 * _GIB, 256 * _KIB),
    (4 * _GIB, 512 * _KIB),
    (16 * _GIB, 1 * _MIB),
    (64 * _GIB, 4 * _MIB),
)
_LARGEST_PIECE_BYTES = 16 * _MIB


def suitable_piece_length(size_bytes: int) -> int:
    """Piece length in bytes for a release of that size."""
    for up_to_bytes, piece_length_bytes in _PIECE_LENGTHS:
        if size_bytes <= up_to_bytes:
            return piece_length_bytes
    return _LARGEST_PIECE_BYTES


def create_torrent(
    folder: Path,
    *,
    name: TorrentName,
    ca_pem: str,
    piece_length_bytes: int | None = None,
    on_progress: Progress | None = None,
    checksums: bool = False,
) -> bytes:
    """Hash the files below `folder` and return their `.torrent`, without announce URL.

    With `checksums` it says the SHA-256 of each file, too. Blocking, on one core. The same content
    gives the same bytes. Raises StorageError if a file cannot be read, MetainfoError if the
    content makes no torrent of ours.
    """
    files = tuple(
        ContentFile(tuple(path.split("/")), folder / path, size_bytes)
        for path, size_bytes in _files_below(folder).items()
    )
    if not any(file.size_bytes for file in files):
        raise MetainfoError(f"{folder}: all files are empty")
    if piece_length_bytes is None:
        piece_length_bytes = suitable_piece_length(sum(file.size_bytes for file in files))
    check_piece_length(piece_length_bytes)
    trees = hash_files_here(files, piece_length_bytes, on_progress, whole=checksums)
    return _document(files, trees, name, ca_pem, piece_length_bytes)[0]


async def torrent_of(
    files: Sequence[ContentFile],
    *,
    name: TorrentName,
    ca_pem: str,
    on_progress: Progress | None = None,
    checksums: bool = False,
) -> tuple[bytes, Metainfo]:
    """`create_torrent` of files from anywhere, on all cores; also what it says.

    They are copied meanwhile, if they say where to. Raises as `create_torrent` does.
    """
    piece_length_bytes = suitable_piece_length(sum(file.size_bytes for file in files))
    trees = await hash_files(files, piece_length_bytes, on_progress, whole=checksums)
    return await trio.to_thread.run_sync(_document, files, trees, name, ca_pem, piece_length_bytes)


def _document(
    files: Sequence[ContentFile],
    trees: Sequence[HashTree],
    name: TorrentName,
    ca_pem: str,
    piece_length_bytes: int,
) -> tuple[bytes, Metainfo]:
    file_tree: dict[bytes, Any] = {}
    for file, tree in zip(files, trees, strict=True):
        leaf: dict[bytes, Bencodable] = {b"length": file.size_bytes}
        if tree.root is not None:
            leaf[b"pieces root"] = tree.root
        if tree.sha256 is not None:
            leaf[b"sha256"] = tree.sha256
        *folders, last = map(_utf8_name, file.path)
        below = file_tree
        for part in folders:
            below = below.setdefault(part, {})
        below[last] = {b"": leaf}
    document: dict[bytes, Bencodable] = {
        b"info": {
            b"file tree": file_tree,
            b"meta version": 2,
            b"name": name.encode(),
            b"piece length": piece_length_bytes,
            b"private": 1,
            b"ssl-cert": certificate_pem(load_certificate(ca_pem)).encode(),
        },
        b"piece layers": {tree.root: tree.layer for tree in trees if tree.root and tree.layer},
    }
    data = bencode.encode(document)
    # Parsing also finds names that customers' disks could not hold.
    return data, Metainfo.from_bytes(data)


def _files_below(folder: Path) -> dict[str, int]:
    """Sizes in bytes by relative path, in a fixed order. Raises StorageError."""
    sizes: dict[str, int] = {}

    def fail(error: OSError) -> None:
        raise error

    try:
        for where, _, names in os.walk(folder, onerror=fail):
            for name in names:
                path = Path(where, name)
                status = path.lstat()
                if not stat.S_ISREG(status.st_mode):
                    raise StorageError(f"{path} is not a plain file")
                sizes[path.relative_to(folder).as_posix()] = status.st_size
    except OSError as error:
        raise StorageError(f"cannot read {error.filename}: {error.strerror}") from error
    return dict(sorted(sizes.items()))


def _utf8_name(name: str) -> bytes:
    try:
        return name.encode()
    except UnicodeEncodeError as error:
        raise MetainfoError(f"file name {os.fsencode(name)!r} is not UTF-8") from error
