"""Free space: what the albums under way still need of each disk, and whether it is there."""

import errno
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from client_lib.errors import DiskFullError, StorageError
from client_lib.wire.licence import LicenceId

SPARE_BYTES = 32 << 20
"""Kept free beside the albums, so that the disk never fills to the brim."""

DISK_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class _Claim:
    device: int
    where: Path
    needed_bytes: int


class SpaceLedger:
    """What is promised of the disks. libtorrent's files grow as pieces come: free is not ours."""

    def __init__(self) -> None:
        """Start with nothing promised."""
        self._claims: dict[LicenceId, _Claim] = {}

    def claim(self, licence_id: LicenceId, where: Path, needed_bytes: int) -> None:
        """Promise an album the space for what is to come.

        Raises DiskFullError if that is not free beside what others were promised; StorageError
        if the folder cannot be looked at.
        """
        self.release(licence_id)
        device, free = _device_and_free(where)
        promised = sum(c.needed_bytes for c in self._claims.values() if c.device == device)
        if needed_bytes and needed_bytes + promised + SPARE_BYTES > free:
            raise DiskFullError(str(where), needed_bytes, max(0, free - promised - SPARE_BYTES))
        self._claims[licence_id] = _Claim(device, where, needed_bytes)

    def update(self, licence_id: LicenceId, needed_bytes: int) -> None:
        """Take what an album needs now; somebody else may have filled the disk meanwhile.

        Raises DiskFullError when hardly anything is free.
        """
        claim = self._claims.get(licence_id)
        if claim is None:
            return
        self._claims[licence_id] = _Claim(claim.device, claim.where, needed_bytes)
        _, free = _device_and_free(claim.where)
        if needed_bytes and free < SPARE_BYTES // 2:
            raise DiskFullError(str(claim.where), needed_bytes, 0)

    def release(self, licence_id: LicenceId) -> None:
        """Give back what was promised."""
        self._claims.pop(licence_id, None)

    def fits(self, where: Path, needed_bytes: int) -> bool:
        """Tell whether an album would fit now."""
        try:
            device, free = _device_and_free(where)
        except StorageError:
            return True  # let the download itself say what is wrong
        promised = sum(c.needed_bytes for c in self._claims.values() if c.device == device)
        return needed_bytes + promised + SPARE_BYTES <= free


def space_shortage(needs: Mapping[Path, int]) -> str | None:
    """A sentence if what is to come does not fit, by folder; None if it does. Blocking.

    Raises StorageError.
    """
    by_device: dict[int, tuple[Path, int, int]] = {}
    for where, needed in needs.items():
        device, free = _device_and_free(where)
        before = by_device.get(device, (where, 0, free))[1]
        by_device[device] = where, before + needed, free
    for where, needed, free in by_device.values():
        if needed and needed + SPARE_BYTES > free:
            return (
                f"{where}: {needed / 1e6:.0f} MB to come and {free / 1e6:.0f} MB free: albums "
                "are fetched until it is full, the rest waits for room"
            )
    return None


def _device_and_free(where: Path) -> tuple[int, int]:
    """Device and free bytes of the nearest folder that exists."""
    while True:
        try:
            return where.stat().st_dev, shutil.disk_usage(where).free
        except FileNotFoundError:
            if where == where.parent:
                raise StorageError(f"{where}: no such folder") from None
            where = where.parent
        except OSError as error:
            raise StorageError(f"cannot look at {where}: {error.strerror}") from error


def disk_full_error(error: Exception) -> DiskFullError | None:
    """Error of a full disk, also where the system said so while a small file was written."""
    if isinstance(error, DiskFullError):
        return error
    cause = error.__cause__
    if (
        isinstance(error, StorageError)
        and isinstance(cause, OSError)
        and cause.errno in DISK_FULL_ERRNOS
    ):
        return DiskFullError(str(cause.filename or "the disk"), 0, 0)
    return None
