"""What is got ahead of an album's turn is there when the turn comes, and only so much is kept."""

from collections.abc import Sequence
from typing import cast

import trio
from trio.testing import wait_all_tasks_blocked

from client_lib.download.prefetch import MOST_AHEAD, Prefetch
from client_lib.errors import DownloadError
from client_lib.membership import Membership
from client_lib.wire.licensing_api import LicenceRecord
from tests.unit.client_lib.download.licences import licence

ALBUMS = [licence(number=number) for number in range(1, 60)]


class Joins:
    """Counts who joins; memberships are stand-ins that only have an identity."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.failing: set[str] = set()

    async def __call__(self, one: LicenceRecord) -> Membership | None:
        await trio.lowlevel.checkpoint()
        self.asked.append(one.licence_id)
        if one.licence_id in self.failing:
            raise DownloadError("no")
        return cast("Membership", one)


async def running(joins: Joins, nursery: trio.Nursery, wanted: Sequence[LicenceRecord]) -> Prefetch:
    prefetch = Prefetch(joins)
    prefetch.want(wanted)
    nursery.start_soon(prefetch.run)
    await wait_all_tasks_blocked()
    return prefetch


async def test_an_album_whose_turn_has_come_is_not_joined_again() -> None:
    joins, first = Joins(), ALBUMS[0]
    async with trio.open_nursery() as nursery:
        prefetch = await running(joins, nursery, ALBUMS[:3])
        prefetch.reserve(first.licence_id)
        prefetch.want(ALBUMS[1:3])  # as the queue says before the album's task has run
        assert await prefetch.take(first.licence_id) is not None
        assert await prefetch.take(first.licence_id) is None, "taken once"
        nursery.cancel_scope.cancel()
    assert sorted(joins.asked) == sorted(one.licence_id for one in ALBUMS[:3])


async def test_what_is_no_longer_wanted_is_forgotten() -> None:
    async with trio.open_nursery() as nursery:
        prefetch = await running(Joins(), nursery, ALBUMS[:3])
        prefetch.want(ALBUMS[1:3])
        assert await prefetch.take(ALBUMS[0].licence_id) is None
        nursery.cancel_scope.cancel()


async def test_so_many_are_joined_ahead_and_failures_once() -> None:
    joins = Joins()
    joins.failing = {ALBUMS[1].licence_id}
    async with trio.open_nursery() as nursery:
        prefetch = await running(joins, nursery, ALBUMS)
        assert sorted(joins.asked) == sorted(one.licence_id for one in ALBUMS[:MOST_AHEAD])
        assert await prefetch.take(ALBUMS[1].licence_id) is None
        nursery.cancel_scope.cancel()
