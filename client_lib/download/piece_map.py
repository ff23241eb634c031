"""Pieces of a torrent by index: where their bytes are, and what they hash to. No I/O."""

import bisect
import itertools
from collections.abc import Sequence
from hashlib import sha256

from client_lib.errors import DownloadError
from client_lib.wire import bencode
from client_lib.wire.metainfo import Metainfo, TorrentFile
from client_lib.wire.piece_layers import BLOCK_BYTES, merkle_root

_NO_BLOCK = bytes(32)


class PieceMap:
    """Which bytes of which file a piece is, and its hash (BEP 52)."""

    def __init__(self, metainfo: Metainfo) -> None:
        """Take a torrent's files and piece layers."""
        self._length = metainfo.piece_length_bytes
        self._files = metainfo.files
        counts = [-(-file.length_bytes // self._length) for file in metainfo.files]
        self.first_pieces: Sequence[int] = tuple(itertools.accumulate(counts, initial=0))
        """By file; and the number of all pieces at the end."""
        layers = bencode.decode(metainfo.piece_layers)
        pairs = layers.items() if isinstance(layers, dict) else ()
        self._layers = {root: layer for root, layer in pairs if isinstance(layer, bytes)}

    def find(self, piece: int) -> tuple[TorrentFile, int, int]:
        """File of a piece, and its first byte there and the one after its last."""
        index = bisect.bisect_right(self.first_pieces, piece) - 1
        file = self._files[index]
        begin = (piece - self.first_pieces[index]) * self._length
        return file, begin, min(begin + self._length, file.length_bytes)

    def verify(self, piece: int, data: bytes) -> None:
        """Check the bytes of a piece. Raises DownloadError."""
        file, begin, end = self.find(piece)
        leaves = b"".join(
            sha256(memoryview(data)[at : at + BLOCK_BYTES]).digest()
            for at in range(0, len(data), BLOCK_BYTES)
        )
        expected = file.pieces_root
        if file.length_bytes > self._length:
            at = begin // self._length * 32
            expected = self._layers[file.pieces_root or b""][at : at + 32]
            leaves = leaves.ljust(self._length // BLOCK_BYTES * 32, b"\0")
        if len(data) != end - begin or merkle_root(leaves, _NO_BLOCK) != expected:
            raise DownloadError(f"piece {piece} is not what the torrent says")
