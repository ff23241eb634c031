"""Events between a download and a reader of any speed: bounded, conflated, never going back."""

from collections import OrderedDict

import trio

from client_lib.download.events import (
    AlbumMilestone,
    DeviceEvent,
    Event,
    Failed,
    Finished,
    PortMapped,
    Progress,
    Warned,
)
from client_lib.wire.licence import LicenceId

_Milestone = AlbumMilestone | DeviceEvent


class EventBox:
    """Holds at most one progress and one milestone of each kind an album, newest wins.

    So memory is bounded by the number of albums, however slow the reader. A newer milestone goes
    to the end: what is read last of an album is how it is.
    """

    def __init__(self) -> None:
        """Start empty and open."""
        self._milestones: OrderedDict[tuple[str, type], _Milestone] = OrderedDict()
        self._progress: OrderedDict[LicenceId, Progress] = OrderedDict()
        self._closed = False
        self._changed = trio.Event()

    def put(self, event: Event) -> None:
        """Add an event, in place of an unread one of the same kind and album."""
        if isinstance(event, Progress):
            self._progress[event.licence_id] = event
        else:
            if isinstance(event, Finished | Failed):
                self._progress.pop(event.licence_id, None)
            match event:
                case Warned(kind=kind):
                    about = str(kind)
                case PortMapped():
                    about = ""
                case _:
                    about = event.licence_id
            self._milestones[about, type(event)] = event
            self._milestones.move_to_end((about, type(event)))
        self._notify()

    def close(self) -> None:
        """Say that nothing will follow; what is unread can still be read."""
        self._closed = True
        self._notify()

    def __aiter__(self) -> "EventBox":
        """Iterate until closed and empty; may be left at any event and taken up again."""
        return self

    async def __anext__(self) -> Event:
        """`get`, as an iterator."""
        event = await self.get()
        if event is None:
            raise StopAsyncIteration
        return event

    async def get(self) -> Event | None:
        """Take the next event, milestones first; None when closed and empty."""
        await trio.lowlevel.checkpoint()
        while not (self._milestones or self._progress or self._closed):
            await self._changed.wait()
        if self._milestones:
            return self._milestones.popitem(last=False)[1]
        if self._progress:
            return self._progress.popitem(last=False)[1]
        return None

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
