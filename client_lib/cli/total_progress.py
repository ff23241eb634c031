"""How far a whole job is: bytes, rate and time left over all its albums. Pure."""

from collections import deque
from collections.abc import Mapping

from client_lib.download import events
from client_lib.wire.licence import LicenceId

_WINDOW_S = 10.0


class TotalProgress:
    """Adds up albums. The rate is what was verified in the last ten seconds, not what is hoped."""

    def __init__(self, sizes: Mapping[LicenceId, int]) -> None:
        """Take the albums' sizes in bytes."""
        self._sizes = dict(sizes)
        self._verified = dict.fromkeys(sizes, 0)
        self._ended: set[LicenceId] = set()
        self._new_bytes = 0
        self._points: deque[tuple[float, int]] = deque()

    @property
    def albums(self) -> int:
        """How many there are."""
        return len(self._sizes)

    @property
    def ended(self) -> int:
        """How many are complete or have failed."""
        return len(self._ended)

    @property
    def total_bytes(self) -> int:
        """Bytes of all albums."""
        return sum(self._sizes.values())

    @property
    def verified_bytes(self) -> int:
        """Bytes that are there."""
        return sum(self._verified.values())

    @property
    def rate_bytes_s(self) -> float:
        """New verified bytes per second, lately."""
        if len(self._points) < 2:
            return 0.0
        (start_s, before), (end_s, after) = self._points[0], self._points[-1]
        return (after - before) / (end_s - start_s) if end_s > start_s else 0.0

    @property
    def eta_s(self) -> float | None:
        """Seconds until all is there at this rate, None while nothing arrives."""
        rate = self.rate_bytes_s
        return (self.total_bytes - self.verified_bytes) / rate if rate > 0 else None

    def update(self, event: events.Event, now_s: float) -> None:
        """Take an event."""
        match event:
            case events.Started():
                self._sizes[event.licence_id] = event.total_bytes
                self._verified[event.licence_id] = event.resumed_bytes
                self._ended.discard(event.licence_id)
            case events.Progress() if not event.checking:
                self._arrived(event.licence_id, event.verified_bytes)
            case events.Finished():
                self._sizes[event.licence_id] = event.total_bytes
                if event.already_there:
                    self._verified[event.licence_id] = event.total_bytes
                self._arrived(event.licence_id, event.total_bytes)
                self._ended.add(event.licence_id)
            case events.Failed():
                self._ended.add(event.licence_id)
            case _:
                pass
        # A point a tenth of the window is fine enough, however many events come.
        if not self._points or now_s - self._points[-1][0] >= _WINDOW_S / 20:
            self._points.append((now_s, self._new_bytes))
        while self._points[0][0] < now_s - _WINDOW_S:
            self._points.popleft()

    def _arrived(self, licence_id: LicenceId, verified_bytes: int) -> None:
        before = self._verified.get(licence_id, 0)
        if verified_bytes > before:
            self._new_bytes += verified_bytes - before
            self._verified[licence_id] = verified_bytes
