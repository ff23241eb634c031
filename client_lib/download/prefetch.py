"""Torrents and certificates of the next albums, got while others download, a bounded number."""

from collections.abc import Awaitable, Callable, Sequence

import trio

from client_lib.errors import AlbumswarmError
from client_lib.membership import Membership
from client_lib.wire.licence import LicenceId
from client_lib.wire.licensing_api import LicenceRecord

MOST_AHEAD = 32
WORKERS = 4


class Prefetch:
    """Joins ahead of the queue. Each album is tried once; its own download says what fails."""

    def __init__(self, join: Callable[[LicenceRecord], Awaitable[Membership | None]]) -> None:
        """Take what joins; None says that an album needs no joining."""
        self._join = join
        self._wanted: dict[LicenceId, LicenceRecord] = {}
        self._tried: set[LicenceId] = set()
        self._ready: dict[LicenceId, Membership] = {}
        self._under_way: dict[LicenceId, trio.Event] = {}
        self._reserved: set[LicenceId] = set()
        self._wake = trio.Event()

    def want(self, licences: Sequence[LicenceRecord]) -> None:
        """Say which albums come next, soonest first.

        Others that are ready are forgotten, but for those that are reserved.
        """
        self._wanted = {licence.licence_id: licence for licence in licences[:MOST_AHEAD]}
        kept = self._wanted.keys() | self._reserved
        self._ready = {key: value for key, value in self._ready.items() if key in kept}
        self._tried &= kept
        self._wake.set()
        self._wake = trio.Event()

    def reserve(self, licence_id: LicenceId) -> None:
        """Keep what there is of an album until it is taken: its turn has come."""
        self._reserved.add(licence_id)

    async def take(self, licence_id: LicenceId) -> Membership | None:
        """Take what was got for an album, waiting if it is under way; None: join it yourself."""
        try:
            await trio.lowlevel.checkpoint()
            self._tried.add(licence_id)
            if (under_way := self._under_way.get(licence_id)) is not None:
                await under_way.wait()
            return self._ready.pop(licence_id, None)
        finally:
            self._reserved.discard(licence_id)
            self._ready.pop(licence_id, None)

    async def run(self) -> None:
        """Join what is wanted, for ever."""
        async with trio.open_nursery() as nursery:
            for _ in range(WORKERS):
                nursery.start_soon(self._work)

    async def _work(self) -> None:
        while True:
            licence = next(
                (one for key, one in self._wanted.items() if key not in self._tried), None
            )
            if licence is None:
                await self._wake.wait()
                continue
            licence_id = licence.licence_id
            self._tried.add(licence_id)
            ended = self._under_way[licence_id] = trio.Event()
            try:
                member = await self._join(licence)
                if member is not None:
                    self._ready[licence_id] = member
            except (AlbumswarmError, OSError):
                # The album's own turn comes, and then the reason is told, if it is still one.
                await trio.lowlevel.checkpoint()
            finally:
                del self._under_way[licence_id]
                ended.set()
