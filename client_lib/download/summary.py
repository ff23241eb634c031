"""How a job ended, in one value."""

from dataclasses import dataclass

from client_lib.download.events import Failed, Finished
from client_lib.errors import AlbumswarmError, RefusedError, UnreachableError
from client_lib.wire.release import TorrentName


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSummary:
    """Albums by how they ended. `skipped` were paused, taken out, or not reached."""

    done: tuple[Finished, ...]
    failed: tuple[Failed, ...]
    skipped: tuple[TorrentName, ...]

    @property
    def received_bytes(self) -> int:
        """Payload that this run fetched for the albums done."""
        return sum(end.from_seeders_bytes + end.from_customers_bytes for end in self.done)

    @property
    def exit_code(self) -> int:
        """0 nothing failed, 3 all that failed was refused, 4 unreachable, 1 otherwise."""
        if not self.failed:
            return 0
        errors = [end.error for end in self.failed]
        for kind in (RefusedError, UnreachableError):
            if all(isinstance(error, kind) for error in errors):
                return kind.exit_code
        first = errors[0]
        if len(errors) == 1 and isinstance(first, AlbumswarmError):
            return first.exit_code
        return AlbumswarmError.exit_code
