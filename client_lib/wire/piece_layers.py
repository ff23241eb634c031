"""The `piece layers` of a v2 torrent (BEP 52): the hash of every piece, under each file's root."""

from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from struct import Struct

from client_lib.errors import MetainfoError
from client_lib.wire.bencode import Decoded
from client_lib.wire.file_tree import TorrentFile

BLOCK_BYTES = 16 << 10
"""A leaf of the hash tree; also the smallest piece."""
MAX_PIECE_BYTES = 1 << 28  # libtorrent 2.1.1 refuses more
HASH_BYTES = 32
ABSENT_BLOCK = bytes(HASH_BYTES)
"""The leaf of a block beyond the end of a file."""
_pairs = Struct(f"{2 * HASH_BYTES}s").iter_unpack


def check_piece_length(piece_length: Decoded | None) -> int:
    """Check the length of a piece in bytes. Raises MetainfoError."""
    if (
        not isinstance(piece_length, int)
        or not BLOCK_BYTES <= piece_length <= MAX_PIECE_BYTES
        or piece_length & (piece_length - 1)
    ):
        raise MetainfoError(
            f"piece length must be a power of two from {BLOCK_BYTES} to {MAX_PIECE_BYTES} bytes"
        )
    return piece_length


def verify_piece_layers(
    layers: Decoded, files: Iterable[TorrentFile], piece_length_bytes: int
) -> None:
    """Check that exactly the files longer than a piece have a layer, which hashes to their root.

    Raises MetainfoError. Half a million hashes (the most that fit a torrent) take about half a
    second: call it from a thread where that matters.
    """
    if not isinstance(layers, dict):
        raise MetainfoError("piece layers is not a dictionary")
    # Equal files share a root and its layer. Each root is hashed once, however many files name it.
    lengths: dict[bytes, int] = {}
    for file in files:
        if file.pieces_root is None:
            continue
        if lengths.setdefault(file.pieces_root, file.length_bytes) != file.length_bytes:
            path = "/".join(file.path)
            raise MetainfoError(f"file {path!r}: another file of other length has its hash")
    expected = {root for root, length in lengths.items() if length > piece_length_bytes}
    if layers.keys() != expected:
        raise MetainfoError(
            f"piece layers are missing for {len(expected - layers.keys())} files"
            f" and belong to no file {len(layers.keys() - expected)} times"
        )
    padding = padding_hash(piece_length_bytes)
    for root, layer in layers.items():
        pieces = -(-lengths[root] // piece_length_bytes)
        if not isinstance(layer, bytes) or len(layer) != pieces * HASH_BYTES:
            raise MetainfoError(f"piece layer {root.hex()} is not {pieces} hashes of 32 bytes")
        if merkle_root(layer, padding) != root:
            raise MetainfoError(f"piece layer {root.hex()} does not hash to its pieces root")


def padding_hash(piece_length_bytes: int) -> bytes:
    """Root over one piece of absent blocks; BEP 52 pads the tree with leaves of zeros."""
    digest = ABSENT_BLOCK
    for _ in range((piece_length_bytes // BLOCK_BYTES).bit_length() - 1):
        digest = _doubled(digest)
    return digest


def merkle_root(layer: bytes, padding: bytes) -> bytes:
    """Root above a layer of concatenated hashes, padded to a power of two by `padding`."""
    while len(layer) > HASH_BYTES:
        if len(layer) % (2 * HASH_BYTES):
            layer += padding
        layer = layer_above(layer)
        padding = _doubled(padding)
    return layer


def piece_root(data: bytes, blocks: int = 1) -> bytes:
    """Root over a piece's bytes, whose tree has at least so many leaves: absent ones are zeros."""
    view = memoryview(data)
    leaves = b"".join(
        [sha256(view[at : at + BLOCK_BYTES]).digest() for at in range(0, len(view), BLOCK_BYTES)]
    )
    return merkle_root(leaves.ljust(blocks * HASH_BYTES, b"\0"), ABSENT_BLOCK)


def layer_above(layer: bytes, levels: int = 1) -> bytes:
    """Hash pairs of hashes, so many times. Each layer but the last has an even number of them."""
    for _ in range(levels):
        # Loading a release is mostly this: unpacked by `struct` 15.7 µs for 20 hashes, sliced in a
        # list 18.2, of which OpenSSL takes 13.3.
        layer = b"".join([sha256(pair).digest() for (pair,) in _pairs(layer)])
    return layer


@lru_cache(maxsize=256)
def _doubled(padding: bytes) -> bytes:
    """Padding one level up. The same few every time."""
    return sha256(padding + padding).digest()
