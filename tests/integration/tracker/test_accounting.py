"""Accounts on real SQLite, and in a process that is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from pysqlite3 import dbapi2

from client_lib.errors import StorageError
from client_lib.wire.announce import AnnounceRequest, Event, PeerId
from client_lib.wire.infohash import TruncatedInfoHash
from tracker.accounting.amounts import DAY_S, Amounts
from tracker.accounting.ledger import Ledger, open_accounting
from tracker.accounting.store_sqlite import AccountingStore, Batch, Movement
from tracker.swarms.peers import OWNER_BYTES, Owner
from tracker.trust.admission import Member, Refusal, Role

SWARM = TruncatedInfoHash(bytes(range(20)))
GB = 10**9
CUSTOMER = Member(
    Role.LICENCE, "licence-1", Owner(b"c" * OWNER_BYTES), SWARM, 1, 0, 9e9, "rel-1.flac-16-44"
)
SEEDER = Member(Role.SEEDER, "origin-1", Owner(b"s" * OWNER_BYTES), None, 2, 0, 9e9)


def announce(uploaded: int, downloaded: int, event: Event = Event.REGULAR) -> AnnounceRequest:
    return AnnounceRequest(
        SWARM, PeerId(b"p" * 20), 6881, uploaded, downloaded, 0, event, key=b"8D0C3C2A"
    )


def one_evening(ledger: Ledger, *, from_s: float = 0) -> None:
    """A customer downloads 10 GB, two of them from the central seeder, and gives 8 to others."""
    for step in range(11):
        now_s = from_s + 100 * step
        event = Event.STARTED if step == 0 else Event.REGULAR
        ledger.admitted(CUSTOMER, announce(step * 8 * GB // 10, step * GB, event), now_s)
        ledger.admitted(SEEDER, announce(step * 2 * GB // 10, 0, event), now_s)
    ledger.admitted(CUSTOMER, announce(8 * GB, 10 * GB, Event.COMPLETED), from_s + 1_000)


EVENING = Amounts(8 * GB, 10 * GB, 2 * GB, 1)


async def test_accounts_are_kept_by_member_swarm_and_day(tmp_path: Path) -> None:
    async with open_accounting(tmp_path / "a.sqlite3") as ledger:
        one_evening(ledger)
        await ledger.flush(5)
        one_evening(ledger, from_s=2 * DAY_S)
        await ledger.flush(2 * DAY_S + 2_000)
        assert await ledger.read(AccountingStore.total) == EVENING + EVENING
        assert await ledger.read(lambda s: s.days(first_day=0, last_day=9)) == {
            0: EVENING,
            2: EVENING,
        }
        assert await ledger.read(lambda s: s.days(first_day=1, last_day=9)) == {2: EVENING}
        (swarm,) = await ledger.read(lambda s: s.swarms(first_day=2, last_day=2, limit=9))
        assert (swarm.info_hash, swarm.name, swarm.amounts) == (
            SWARM,
            "rel-1.flac-16-44",
            EVENING,
        )
        assert EVENING.offload == 0.8
        member = await ledger.read(lambda s: s.member(Role.LICENCE, "licence-1"))
        assert member == Amounts(16 * GB, 20 * GB, 0, 2)
        seeder = await ledger.read(lambda s: s.member(Role.SEEDER, "origin-1"))
        assert seeder == Amounts(central_uploaded_bytes=4 * GB)
    assert (tmp_path / "a.sqlite3").stat().st_mode & 0o777 == 0o600


async def test_sessions_survive_a_restart(tmp_path: Path) -> None:
    async with open_accounting(tmp_path / "a.sqlite3") as ledger:
        ledger.admitted(CUSTOMER, announce(0, 0, Event.STARTED), 1_000)
        ledger.admitted(CUSTOMER, announce(3, 5), 1_100)
    async with open_accounting(tmp_path / "a.sqlite3") as ledger:
        ledger.admitted(CUSTOMER, announce(10, 20), 1_200)
        await ledger.flush(1_200)
        assert await ledger.read(AccountingStore.total) == Amounts(10, 20)


async def test_a_batch_that_cannot_be_written_is_written_later(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite3"
    async with open_accounting(path) as ledger:
        one_evening(ledger)
        await ledger.read(lambda store: store._sqlite.execute("PRAGMA query_only = ON"))
        with pytest.raises(StorageError, match="readonly"):
            await ledger.flush(5)
        ledger.admitted(CUSTOMER, announce(8 * GB + 1, 10 * GB + 2), 1_100)
        await ledger.read(lambda store: store._sqlite.execute("PRAGMA query_only = OFF"))
        await ledger.flush(5)
        assert await ledger.read(AccountingStore.total) == EVENING + Amounts(1, 2)


def test_totals_and_sessions_are_written_together_or_not_at_all(tmp_path: Path) -> None:
    store = AccountingStore(tmp_path / "a.sqlite3")
    moved = [Movement(Role.LICENCE, "licence-1", SWARM, None, 1, 2, 3)]
    with pytest.raises(StorageError):
        store.write(Batch(0, moved, [(1, "not bytes")]))  # type: ignore[list-item]
    assert store.total() == Amounts()
    store.write(Batch(0, moved, [(1, bytes(35))]))
    assert store.total() == Amounts(1, 2, 0, 3)
    assert store.sessions() == [(1, bytes(35))]
    store.write(Batch(0, [], [(1, b"")]))
    assert store.sessions() == []
    store.close()


async def test_a_cancelled_flush_is_written_once(tmp_path: Path) -> None:
    async with open_accounting(tmp_path / "a.sqlite3") as ledger:
        one_evening(ledger)
        with trio.CancelScope() as scope:
            scope.cancel()
            await ledger.flush(5)
        await ledger.flush(5)
        assert await ledger.read(AccountingStore.total) == EVENING


@pytest.mark.parametrize("garbage", [b"not a database" * 100, b"SQLite format 3\0" + b"\xff" * 500])
async def test_broken_accounts_are_set_aside(tmp_path: Path, garbage: bytes) -> None:
    path = tmp_path / "a.sqlite3"
    path.write_bytes(garbage)
    async with open_accounting(path) as ledger:
        one_evening(ledger)
        await ledger.flush(5)
        assert await ledger.read(AccountingStore.total) == EVENING
    (aside,) = tmp_path.glob("a.sqlite3.broken-*")
    assert aside.read_bytes() == garbage


async def test_accounts_of_a_newer_version_are_refused_and_stay(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite3"
    AccountingStore(path).close()
    with dbapi2.connect(path) as newer:
        newer.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
            " VALUES ('tracker-accounting', 'second', '2030')"
        )
    newer.close()
    with pytest.raises(StorageError, match="newer version"):
        async with open_accounting(path):
            pass
    assert list(tmp_path.glob("*.broken-*")) == []


async def test_impossible_rates_are_flagged_and_not_counted(tmp_path: Path) -> None:
    async with open_accounting(tmp_path / "a.sqlite3", line_rate=10**6) as ledger:
        ledger.admitted(CUSTOMER, announce(0, 0), 1_000)
        ledger.admitted(CUSTOMER, announce(2**62, 0), 1_010)
        ledger.admitted(CUSTOMER, announce(2**62 + 7, 0), 1_020)
        await ledger.flush(5)
        assert await ledger.read(AccountingStore.total) == Amounts(7, 0)
        (flag,) = ledger.flags.newest()
        assert (flag.kind, flag.subject) == ("impossible-rate", "licence licence-1")
        assert "within 10 s" in flag.evidence
        assert "a line has 1000000" in flag.evidence


async def test_claims_cannot_overflow_the_accounts(tmp_path: Path) -> None:
    async with open_accounting(tmp_path / "a.sqlite3", line_rate=2**62) as ledger:
        for turn in range(4):
            ledger.admitted(CUSTOMER, announce(0, 0, Event.STARTED), turn * 100)
            ledger.admitted(CUSTOMER, announce(2**62, 2**62), turn * 100 + 50)
            await ledger.flush(5)
        assert await ledger.read(AccountingStore.total) == Amounts(2**53, 2**53)


async def test_uploads_that_nobody_downloaded_are_flagged(tmp_path: Path) -> None:
    async with open_accounting(tmp_path / "a.sqlite3") as ledger:
        ledger.admitted(CUSTOMER, announce(0, 0), 1_000)
        ledger.admitted(CUSTOMER, announce(90 * GB, GB), 1_100)
        await ledger.flush(1_100)
        await ledger.look_for_unmatched(1_100)
        (flag,) = ledger.flags.newest()
        assert flag.kind == "unmatched-uploads"
        assert flag.subject == "swarm rel-1.flac-16-44"


async def test_many_networks_are_flagged(tmp_path: Path) -> None:
    async with open_accounting(tmp_path / "a.sqlite3") as ledger:
        for n in range(6):
            asked = AnnounceRequest(SWARM, PeerId(b"p" * 20), 1, 0, 0, 0, key=b"client-%d" % n)
            ledger.admitted(CUSTOMER, asked, 1_000 + n, bytes([10, 0, n, 1]))
            ledger.admitted(SEEDER, asked, 1_000 + n, bytes([10, 0, n, 1]))
        (flag,) = ledger.flags.newest()
        assert (flag.kind, flag.subject) == ("many-networks", "licence licence-1")


async def test_everything_that_happens_is_counted(tmp_path: Path) -> None:
    async with open_accounting(tmp_path / "a.sqlite3") as ledger:
        ledger.admitted(CUSTOMER, announce(0, 0), 1)
        ledger.admitted(SEEDER, announce(0, 0), 1)
        ledger.refused(Refusal.REVOKED)
        ledger.count("handshake_failed")
        assert ledger.counts == {
            "admitted_licence": 1,
            "admitted_seeder": 1,
            "refused_revoked": 1,
            "handshake_failed": 1,
        }


def _counting_process(path: str) -> None:
    """Announce for ever, 1 byte up and 2 down each time; say what was announced."""

    async def main() -> None:
        async with open_accounting(Path(path)) as ledger, trio.open_nursery() as nursery:
            nursery.start_soon(ledger.flush_regularly, 0.01, lambda: 1_000.0)
            first = int(sys.argv[2])
            ledger.admitted(CUSTOMER, announce(first, 2 * first), 1_000)
            await ledger.flush(1_000.0)
            for step in range(first, 10**9):
                ledger.admitted(CUSTOMER, announce(step, 2 * step), 1_000)
                os.write(1, b"%d\n" % step)
                await trio.lowlevel.checkpoint()

    trio.run(main)


async def test_killed_again_and_again_it_loses_a_batch_at_most_and_doubles_nothing(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.sqlite3"
    announced = 0
    for _ in range(3):
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", __spec__.name, str(path), str(announced)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
        )
        assert process.stdout is not None
        said = bytearray()
        async with process.stdout:
            async for chunk in process.stdout:
                said += chunk
                if said.count(b"\n") >= 500:
                    process.kill()  # and read on what it had said before
        await process.wait()
        assert process.returncode == -signal.SIGKILL
        announced = int(said.split(b"\n")[-2])
        async with open_accounting(path) as ledger:
            total = await ledger.read(AccountingStore.total)
        # Never more than was announced; and what is missing is the last batch.
        assert total.uploaded_bytes <= announced
        assert total.downloaded_bytes == 2 * total.uploaded_bytes
    async with open_accounting(path) as ledger:
        ledger.admitted(CUSTOMER, announce(announced, 2 * announced), 1_000)
        await ledger.flush(0)
        # The next announce brings what the killed process had not written: nothing is lost.
        assert await ledger.read(AccountingStore.total) == Amounts(announced, 2 * announced)


if __name__ == "__main__":
    _counting_process(sys.argv[1])
