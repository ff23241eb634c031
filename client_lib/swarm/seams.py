"""Pieces that libtorrent 2.1.1 must not fetch from a web seed together with the next one. Pure.

It merges neighbouring blocks into one HTTP request and takes their bytes for contiguous. In a v2
torrent they are not where a file's last piece has all its blocks and is a little short: all that
comes behind it is shifted, fails its hash, and the web seed is banned. Seen with 3,000,000 bytes
in pieces of 64 KiB and another file; with 300,000 bytes, whose last piece lacks a block, libtorrent
makes two requests.
"""

from collections.abc import Sequence

from client_lib.wire.piece_layers import BLOCK_BYTES


def seams(piece_lengths: Sequence[int], piece_length_bytes: int) -> frozenset[int]:
    """Pieces whose last block is short and at the end of a whole piece, the last one apart."""
    whole_but_for_a_bit = range(piece_length_bytes - BLOCK_BYTES + 1, piece_length_bytes)
    return frozenset(
        piece for piece, length in enumerate(piece_lengths[:-1]) if length in whole_but_for_a_bit
    )
