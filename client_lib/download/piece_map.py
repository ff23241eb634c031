"""Pieces of a torrent by index: where their bytes are, and what they hash to. No I/O."""

import bisect
import itertools
from collections.abc import Sequence

from client_lib.errors import DownloadError
from client_lib.wire.metainfo import Metainfo, TorrentFile
from client_lib.wire.piece_layers import BLOCK_BYTES, HASH_BYTES, piece_root


class PieceMap:
    """Which bytes of which file a piece is, and its hash (BEP 52)."""

    def __init__(self, metainfo: Metainfo) -> None:
        """Take a torrent's files and piece layers."""
        self._length = metainfo.piece_length_bytes
        self._files = metainfo.files
        counts = [-(-file.length_bytes // self._length) for file in metainfo.files]
        self.first_pieces: Sequence[int] = tuple(itertools.accumulate(counts, initial=0))
        """By file; and the number of all pieces at the end."""
        self._layers = metainfo.piece_hashes()

    def find(self, piece: int) -> tuple[TorrentFile, int, int]:
        """File of a piece, and its first byte there and the one after its last."""
        index = bisect.bisect_right(self.first_pieces, piece) - 1
        file = self._files[index]
        begin = (piece - self.first_pieces[index]) * self._length
        return file, begin, min(begin + self._length, file.length_bytes)

    def verify(self, piece: int, data: bytes) -> None:
        """Check the bytes of a piece. Raises DownloadError."""
        file, begin, end = self.find(piece)
        expected, blocks = file.pieces_root, 1
        if file.length_bytes > self._length:
            expected = self._hash(file, begin // self._length)
            blocks = self._length // BLOCK_BYTES
        if len(data) != end - begin or piece_root(data, blocks) != expected:
            raise DownloadError(f"piece {piece} is not what the torrent says")

    def hashes(self, index: int) -> list[bytes]:
        """Hashes of a file's pieces."""
        file = self._files[index]
        count = self.first_pieces[index + 1] - self.first_pieces[index]
        if count > 1:
            return [self._hash(file, number) for number in range(count)]
        return [file.pieces_root] if file.pieces_root else []

    def lengths_bytes(self, index: int) -> list[int]:
        """Lengths of a file's pieces."""
        whole, rest = divmod(self._files[index].length_bytes, self._length)
        return [self._length] * whole + [rest] * bool(rest)

    def _hash(self, file: TorrentFile, number: int) -> bytes:
        at = number * HASH_BYTES
        return self._layers[file.pieces_root or b""][at : at + HASH_BYTES]
