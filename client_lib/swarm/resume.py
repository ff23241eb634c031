"""What of a torrent is on disk already: kept beside the files, so that a crash costs little."""

from pathlib import Path
from typing import Annotated

import msgspec

from client_lib.wire.infohash import InfoHash

_Flags = Annotated[str, msgspec.Meta(pattern=r"^[01]*\Z", max_length=1 << 24)]
_Piece = Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]
_Peer = tuple[
    Annotated[str, msgspec.Meta(max_length=64)], Annotated[int, msgspec.Meta(gt=0, lt=65536)]
]
MAX_PEERS = 50
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def this_boot() -> str:
    """Identify the running boot; empty where the system does not tell."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


class ResumePoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Verified pieces, and blocks (16 KiB) of unfinished ones, as strings of `0` and `1`.

    It was true for the page cache, not for the disk: after a power cut it proves nothing, so it
    names the boot under which it was taken. `peers` could be reached then: with them a download
    goes on after a restart, though the tracker is away.
    """

    info_hash: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
    boot: str
    have: _Flags
    unfinished: dict[_Piece, _Flags]
    peers: Annotated[tuple[_Peer, ...], msgspec.Meta(max_length=MAX_PEERS)] = ()

    @classmethod
    def of(
        cls,
        info_hash: InfoHash,
        have: list[bool],
        unfinished: dict[int, list[bool]],
        peers: tuple[tuple[str, int], ...] = (),
    ) -> "ResumePoint":
        """Take libtorrent's lists."""
        return cls(
            info_hash=info_hash.hex,
            boot=this_boot(),
            have=_text(have),
            unfinished={piece: _text(blocks) for piece, blocks in unfinished.items()},
            peers=peers[:MAX_PEERS],
        )

    @classmethod
    def from_json(cls, data: bytes, info_hash: InfoHash) -> "ResumePoint | None":
        """Read a point back; None if it is damaged, of another torrent, or of another boot."""
        try:
            point = msgspec.json.decode(data, type=cls)
        except msgspec.DecodeError:
            return None
        fits = point.info_hash == info_hash.hex and point.boot == this_boot()
        return point if fits else None

    def to_json(self) -> bytes:
        """Encode it for the file."""
        return msgspec.json.encode(self)

    @property
    def have_pieces(self) -> list[bool]:
        """One flag a piece."""
        return _flags(self.have)

    @property
    def unfinished_pieces(self) -> dict[int, list[bool]]:
        """One flag a block of each unfinished piece."""
        return {piece: _flags(blocks) for piece, blocks in self.unfinished.items()}


def _text(flags: list[bool]) -> str:
    return "".join("1" if flag else "0" for flag in flags)


def _flags(text: str) -> list[bool]:
    return [flag == "1" for flag in text]
