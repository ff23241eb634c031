"""Torrents of this network, made from a folder: v2-only, private, sealed, the same every time."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import libtorrent as lt

from client_lib.errors import MetainfoError, StorageError
from client_lib.wire.certificates import certificate_pem, load_certificate
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.piece_layers import check_piece_length
from client_lib.wire.release import TorrentName

Progress = Callable[[int, int], None]
"""Called with the bytes done and the bytes to do. What it raises stops the work."""

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
) -> bytes:
    """Hash the files below `folder` and return their `.torrent`, without announce URL.

    Blocking: call it in a thread. The same content gives the same bytes. `folder` must be called
    `name`, because libtorrent takes the name of the swarm from the path that it hashes. Raises
    StorageError if a file cannot be read, MetainfoError if the content makes no torrent of ours.
    """
    if folder.name != name:
        raise StorageError(f"{folder}: the folder to hash must be called {name}")
    sizes = _files_below(folder)
    size_bytes = sum(sizes.values())
    if size_bytes == 0:
        raise MetainfoError(f"{folder}: all files are empty")
    if piece_length_bytes is None:
        piece_length_bytes = suitable_piece_length(size_bytes)
    entries = [
        lt.create_file_entry(f"{name}/{path}", size_bytes) for path, size_bytes in sizes.items()
    ]
    torrent = lt.create_torrent(
        entries, check_piece_length(piece_length_bytes), lt.create_torrent.v2_only
    )
    torrent.set_priv(True)
    torrent.set_root_cert(certificate_pem(load_certificate(ca_pem)))
    _hash_pieces(torrent, folder, size_bytes, on_progress)
    document = torrent.generate()
    del document[b"creation date"]  # the only key that would differ from one run to the next
    data = lt.bencode(document)
    Metainfo.from_bytes(data)
    return data


def _hash_pieces(
    torrent: lt.create_torrent, folder: Path, size_bytes: int, on_progress: Progress | None
) -> None:
    pieces = torrent.num_pieces()

    def piece_hashed(piece: int) -> None:
        if on_progress is not None:
            on_progress(size_bytes * (piece + 1) // pieces, size_bytes)

    # With a callback even if nobody listens: libtorrent holds the GIL while it hashes, and only
    # the callback lets other threads, trio's among them, have it.
    try:
        lt.set_piece_hashes(torrent, str(folder.parent), piece_hashed)
    except RuntimeError as error:
        raise StorageError(f"cannot hash {folder}: {error}") from error


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
                sizes[_utf8_name(path.relative_to(folder).as_posix())] = status.st_size
    except OSError as error:
        raise StorageError(f"cannot read {error.filename}: {error.strerror}") from error
    return dict(sorted(sizes.items()))


def _utf8_name(path: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise MetainfoError(f"file name {os.fsencode(path)!r} is not UTF-8") from error
    return path
