"""Audit and backup look at one moment, for as long as they like, while others write."""

import trio

from licensing.books.ledger import SqlLedger
from licensing.books.sql import Snapshot
from tests.contract.histories import NOW, ONE, live, redemption
from tests.patience import PATIENCE_S


async def test_inspection_sees_one_moment(empty_ledger: SqlLedger) -> None:
    ledger = empty_ledger
    await live(ledger)
    looking, written = trio.Event(), trio.Event()

    def look(snapshot: Snapshot) -> tuple[int, int]:
        counts = []
        for _ in range(2):
            ((count,),) = snapshot.rows("SELECT COUNT(*) FROM events")
            counts.append(int(count))
            trio.from_thread.run_sync(looking.set)
            trio.from_thread.run(written.wait)
        return counts[0], counts[1]

    async def write() -> None:
        await looking.wait()
        await ledger.redeem(redemption("meanwhile", ONE, first_licence=90), now=NOW)
        written.set()

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            before, after = await ledger.inspect(look)
    assert before == after
    (now,) = (await ledger.inspect(lambda sql: sql.rows("SELECT COUNT(*) FROM events")))[0]
    assert now == after + 1


async def test_long_inspection_ends_when_its_caller_is_cancelled(empty_ledger: SqlLedger) -> None:
    await live(empty_ledger)
    begun = 0

    def look(snapshot: Snapshot) -> None:
        nonlocal begun
        while True:
            for _ in snapshot.stream("SELECT seq FROM events"):
                begun += 1
            trio.from_thread.run_sync(scope.cancel)

    with trio.fail_after(PATIENCE_S), trio.CancelScope() as scope:
        await empty_ledger.inspect(look)
    assert scope.cancelled_caught
    assert begun
    assert await empty_ledger.sales()
