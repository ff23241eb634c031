"""After a crash: what was written since the last resume point is found by hashing it, and no more.

So resume points may be seconds apart, however fast the line is.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import trio

from client_lib.download.piece_map import PieceMap
from client_lib.errors import DownloadError
from client_lib.plain_file import open_plain
from client_lib.swarm.resume import ResumePoint
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.piece_layers import BLOCK_BYTES

_NOTHING = bytes(BLOCK_BYTES)


def catch_up(
    point: ResumePoint, metainfo: Metainfo, folder: Path, paths: Sequence[str]
) -> ResumePoint:
    """Add to a point the pieces that are in the files and not in it.

    Blocking, in a thread of trio's; cancelled between pieces. Of what was never written only a
    block a piece is read: a piece that begins with 16 KiB of zeros counts as a hole.
    """
    pieces = PieceMap(metainfo)
    have, unfinished = point.have_pieces, dict(point.unfinished)
    if len(have) != pieces.first_pieces[-1]:
        return point  # libtorrent will not take it either
    found = 0
    for index, path in enumerate(paths):
        first, end = pieces.first_pieces[index : index + 2]
        missing = [piece for piece in range(first, end) if not have[piece]]
        if not missing:
            continue
        for piece in _right_pieces(pieces, missing, folder / path):
            have[piece] = True
            unfinished.pop(piece, None)
            found += 1
    if not found:
        return point
    return msgspec.structs.replace(
        point, have="".join("1" if flag else "0" for flag in have), unfinished=unfinished
    )


def _right_pieces(pieces: PieceMap, missing: Sequence[int], path: Path) -> list[int]:
    """Those of one file that are there and right; none of a file that cannot be read."""
    right: list[int] = []
    try:
        descriptor = open_plain(path)
    except OSError:
        return []
    try:
        length = os.fstat(descriptor).st_size
        for piece in missing:
            trio.from_thread.check_cancelled()
            _, begin, end = pieces.find(piece)
            if end > length:
                break
            head = os.pread(descriptor, min(BLOCK_BYTES, end - begin), begin)
            if head == _NOTHING[: len(head)]:
                continue
            data = head + os.pread(descriptor, end - begin - len(head), begin + len(head))
            try:
                pieces.verify(piece, data)
            except DownloadError:
                continue
            right.append(piece)
    except OSError:
        return right
    finally:
        os.close(descriptor)
    return right
