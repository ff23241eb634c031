"""The pieces of a torrent: where each lies, and whether bytes are it (BEP 52).

A piece leaves a node only after its bytes were hashed to what the torrent says, each time that it
was read. A wrong one raises, so that a damaged disk or cache costs a complaint and never a
customer's retry.
"""

import bisect
import itertools
from array import array
from typing import NamedTuple

from client_lib.errors import StorageError
from client_lib.wire.file_tree import TorrentFile
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.piece_layers import BLOCK_BYTES, HASH_BYTES, piece_root


class Place(NamedTuple):
    """Where a piece lies."""

    file: TorrentFile
    offset_bytes: int
    length_bytes: int
    digest: bytes
    """Root over the piece's blocks (BEP 52)."""
    blocks: int
    """Leaves of its hash tree, with the padding: a power of two."""


class FilePieces(NamedTuple):
    """A file, and where its pieces are: in v2 every file begins with a piece of its own."""

    file: TorrentFile
    first_piece: int
    piece_length_bytes: int


class DamagedPiece(StorageError):
    """The origin has other bytes than the torrent says."""


class PieceMap:
    """Where every piece of a torrent lies.

    Computed when asked for: a tuple of places would take 80 kB for an album of 400 pieces, this
    takes the 13 kB of their hashes.
    """

    def __init__(self, torrent: Metainfo) -> None:
        """Take what is needed of a torrent whose piece layers were verified."""
        self._piece_length_bytes = torrent.piece_length_bytes
        self._empty = tuple(file for file in torrent.files if file.pieces_root is None)
        self._by_path: dict[tuple[str, ...], FilePieces] | None = None
        layers = torrent.piece_hashes()
        self._files = tuple(file for file in torrent.files if file.pieces_root is not None)
        self._layers = tuple(layers.get(file.pieces_root or b"") for file in self._files)
        counts = (-(-file.length_bytes // self._piece_length_bytes) for file in self._files)
        # In a v2 torrent every file begins with a piece of its own.
        self._ends = tuple(itertools.accumulate(counts))

    def __len__(self) -> int:
        """Count the pieces."""
        return self._ends[-1] if self._ends else 0

    def sizes(self) -> "array[int]":
        """Bytes of every piece."""
        sizes = array("I")
        for file in self._files:
            whole, rest = divmod(file.length_bytes, self._piece_length_bytes)
            sizes.extend(array("I", [self._piece_length_bytes]) * whole)
            if rest:
                sizes.append(rest)
        return sizes

    def file(self, path: tuple[str, ...]) -> FilePieces | None:
        """The file of exactly this path, if there is one."""
        if self._by_path is None:  # most releases are never asked for by path
            length = self._piece_length_bytes
            self._by_path = {file.path: FilePieces(file, 0, length) for file in self._empty}
            for file, begin in zip(self._files, (0, *self._ends), strict=False):
                self._by_path[file.path] = FilePieces(file, begin, length)
        return self._by_path.get(path)

    def place(self, piece: int) -> Place:
        """Where one piece lies. Raises IndexError."""
        index = bisect.bisect_right(self._ends, piece)
        file, layer = self._files[index], self._layers[index]
        number = piece - (self._ends[index - 1] if index else 0)
        offset = number * self._piece_length_bytes
        size = min(self._piece_length_bytes, file.length_bytes - offset)
        if layer is None:  # no longer than a piece: its tree is no higher than it need be
            blocks = 1 << (-(-size // BLOCK_BYTES) - 1).bit_length()
            return Place(file, offset, size, file.pieces_root or b"", blocks)
        digest = layer[HASH_BYTES * number : HASH_BYTES * (number + 1)]
        return Place(file, offset, size, digest, self._piece_length_bytes // BLOCK_BYTES)


def verify(data: bytes, place: Place) -> None:
    """Raise DamagedPiece unless `data` is the piece."""
    if len(data) == place.length_bytes and piece_root(data, place.blocks) == place.digest:
        return
    path = "/".join(place.file.path)
    raise DamagedPiece(
        f"{path}: the {place.length_bytes} bytes at {place.offset_bytes} are not what was published"
    )
