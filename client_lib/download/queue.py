"""The customer's queue: which albums, in which order, and how far each is. Values, no I/O."""

import enum
from collections.abc import Iterable, Sequence

import msgspec

from client_lib.errors import UsageError
from client_lib.wire.licence import LicenceId
from client_lib.wire.licensing_api import LicenceRecord
from client_lib.wire.release import TorrentName

MAX_ENTRIES = 10_000
"""A discography has hundreds of albums; the file is written whole at every change."""


class QueueState(enum.StrEnum):
    """How far an album of the queue is."""

    QUEUED = "queued"
    DOWNLOADING = "downloading"
    PAUSED = "paused"
    FAILED = "failed"
    COMPLETE = "complete"


class Order(enum.StrEnum):
    """Which album of the queue comes next."""

    GIVEN = "given"
    """In the order of the queue: as added, and as moved since."""

    SMALLEST_FIRST = "smallest_first"
    """The one with the fewest bytes to come."""


class QueueEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One album of the queue. `reason` says why it failed; `files` none: all of them.

    `verified_bytes` is what an earlier moment knew, good enough to sort by.
    """

    licence_id: LicenceId
    name: TorrentName
    size_bytes: int
    into: str
    state: QueueState = QueueState.QUEUED
    reason: str = ""
    files: tuple[str, ...] = ()
    verified_bytes: int = 0

    @property
    def remaining_bytes(self) -> int:
        """Bytes to come, as far as known."""
        return max(0, self.size_bytes - self.verified_bytes)


class StoredQueue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The queue as `queue.json` holds it."""

    entries: tuple[QueueEntry, ...] = ()


class DownloadQueue:
    """Albums in the order in which they are to come."""

    def __init__(self, entries: Iterable[QueueEntry] = ()) -> None:
        """Take over what an earlier run left.

        What was downloading when it was killed is queued again, at its place.
        """
        self._entries: dict[LicenceId, QueueEntry] = {}
        for entry in entries:
            interrupted = entry.state is QueueState.DOWNLOADING
            self._entries[entry.licence_id] = (
                msgspec.structs.replace(entry, state=QueueState.QUEUED) if interrupted else entry
            )

    def __contains__(self, licence_id: object) -> bool:
        """Tell whether an album is queued, in whatever state."""
        return licence_id in self._entries

    def __getitem__(self, licence_id: LicenceId) -> QueueEntry:
        """Entry of an album. Raises UsageError if there is none."""
        try:
            return self._entries[licence_id]
        except KeyError as error:
            raise UsageError(f"{licence_id}: this licence is not in the queue") from error

    def find(self, licence_id: LicenceId) -> QueueEntry | None:
        """Entry of an album, None if there is none."""
        return self._entries.get(licence_id)

    def entries(self) -> tuple[QueueEntry, ...]:
        """All albums in order."""
        return tuple(self._entries.values())

    def stored(self) -> StoredQueue:
        """For the file."""
        return StoredQueue(self.entries())

    def add(
        self, licences: Sequence[LicenceRecord], into: str, files: Sequence[str] | None = None
    ) -> None:
        """Append albums. Who is in the queue keeps place, pause and, with `files` None, selection.

        One that had failed or was complete is queued again, at its place. Raises UsageError when
        there would be too many.
        """
        fresh = [licence for licence in licences if licence.licence_id not in self._entries]
        if len(self._entries) + len(fresh) > MAX_ENTRIES:
            raise UsageError(
                f"the queue holds {len(self._entries)} albums, and {len(fresh)} more are over "
                f"{MAX_ENTRIES}: get some first"
            )
        again = (QueueState.FAILED, QueueState.COMPLETE)
        for licence in licences:
            entry = self._entries.get(licence.licence_id)
            if entry is None:
                self._entries[licence.licence_id] = QueueEntry(
                    licence_id=licence.licence_id,
                    name=licence.name,
                    size_bytes=licence.size_bytes,
                    into=into,
                    files=tuple(files or ()),
                )
                continue
            chosen = entry.files if files is None else tuple(files)
            self._entries[licence.licence_id] = msgspec.structs.replace(
                entry, into=into, files=chosen
            )
            if entry.state in again:
                self.mark(licence.licence_id, QueueState.QUEUED)

    def keep(self, wanted: Iterable[LicenceId]) -> None:
        """Forget complete albums, but for those wanted and those with chosen files."""
        wanted = set(wanted)
        complete = [
            entry.licence_id
            for entry in self._entries.values()
            if entry.state is QueueState.COMPLETE
            and not entry.files
            and entry.licence_id not in wanted
        ]
        for licence_id in complete:
            del self._entries[licence_id]

    def remove(self, licence_id: LicenceId) -> bool:
        """Take an album out; False if it was not in."""
        return self._entries.pop(licence_id, None) is not None

    def move(self, licence_id: LicenceId, before: LicenceId | None) -> None:
        """Put an album before another one, or at the end. Raises UsageError for one not queued."""
        moved = self[licence_id]
        if before is not None:
            _ = self[before]
        if before == licence_id:
            return
        rest = [entry for entry in self._entries.values() if entry is not moved]
        at = len(rest)
        if before is not None:
            at = next(i for i, entry in enumerate(rest) if entry.licence_id == before)
        self._entries = {entry.licence_id: entry for entry in [*rest[:at], moved, *rest[at:]]}

    def mark(self, licence_id: LicenceId, state: QueueState, reason: str = "") -> None:
        """Change an album's state. Raises UsageError for one not queued."""
        entry = self[licence_id]
        done = {QueueState.COMPLETE: entry.size_bytes}.get(state, entry.verified_bytes)
        self._entries[licence_id] = msgspec.structs.replace(
            entry, state=state, reason=reason, verified_bytes=done
        )

    def select(self, licence_id: LicenceId, files: Sequence[str]) -> None:
        """Choose files of an album; none: all. Raises UsageError for one not queued."""
        self._entries[licence_id] = msgspec.structs.replace(self[licence_id], files=tuple(files))

    def note_verified(self, licence_id: LicenceId, verified_bytes: int) -> None:
        """Remember how much of an album is there, if it is queued still."""
        entry = self.find(licence_id)
        if entry is not None:
            self._entries[licence_id] = msgspec.structs.replace(
                entry, verified_bytes=verified_bytes
            )

    def waiting(self, order: Order, among: Iterable[LicenceId]) -> list[QueueEntry]:
        """Queued albums of `among` in the order in which to start them."""
        among = set(among)
        queued = [
            entry
            for entry in self._entries.values()
            if entry.state is QueueState.QUEUED and entry.licence_id in among
        ]
        if order is Order.SMALLEST_FIRST:
            queued.sort(key=lambda entry: entry.remaining_bytes)  # stable: then as given
        return queued
