"""PostgreSQL as several licensing processes meet it: shared, restarted, misconfigured."""

import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from client_lib.errors import AlbumswarmError, ConfigError, StorageError, UsageError
from client_lib.wire.problem import ProblemType
from licensing.books.audit import Audited, audit
from licensing.books.ledger import SqlLedger
from licensing.books.sql import Snapshot, Sql
from licensing.refusal import Refusal
from licensing.store_postgres import open_postgres_ledger
from licensing.store_sqlite import open_scratch
from tests.contract.histories import NOW, ONE, live, redemption
from tests.integration.licensing.running import found_folder
from tests.patience import PATIENCE_S
from tests.postgres import PostgresServer


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.new_database()


@pytest.fixture
async def ledger(url: str) -> AsyncIterator[SqlLedger]:
    async with open_postgres_ledger(url, create=True) as ledger:
        await live(ledger)
        yield ledger


async def audited(ledger: SqlLedger, folder: Path) -> Audited:
    def run(snapshot: Snapshot) -> Audited:
        with open_scratch(folder / "scratch.sqlite3") as scratch:
            return audit(snapshot, scratch, tell=print)

    return await ledger.inspect(run)


@pytest.mark.parametrize("isolation", ["read committed", "serializable"])
async def test_one_of_64_devices_at_four_processes_gets_the_token(
    ledger: SqlLedger,
    url: str,
    postgres: PostgresServer,
    tmp_path: Path,
    isolation: str,
) -> None:
    name = url.partition("@/")[2].partition("?")[0]
    postgres.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = '{isolation}'")
    won: list[str] = []
    lost: list[ProblemType] = []

    async def race(process: SqlLedger, number: int) -> None:
        what = redemption("raced", ONE, device=f"device-{number}", first_licence=100 + number)
        try:
            await process.redeem(what, now=NOW)
            won.append(what.device_id)
        except Refusal as refusal:
            lost.append(refusal.problem_type)
        mine = redemption(f"own-{number}", ONE, first_licence=200 + number)
        await process.redeem(mine, now=NOW)

    before = await ledger.sales()
    with trio.fail_after(PATIENCE_S):
        async with contextlib.AsyncExitStack() as stack:
            processes = [
                await stack.enter_async_context(open_postgres_ledger(url)) for _ in range(4)
            ]
            async with trio.open_nursery() as nursery:
                for number in range(64):
                    nursery.start_soon(race, processes[number % 4], number)
    assert len(won) == 1
    assert lost == [ProblemType.TOKEN_ALREADY_REDEEMED] * 63
    assert await ledger.sales() == before + 1 + 64
    assert (await audited(ledger, tmp_path)).findings == 0


async def test_processes_that_start_together_migrate_once(url: str) -> None:
    opened = 0

    async def start() -> None:
        nonlocal opened
        async with open_postgres_ledger(url, create=True) as ledger:
            assert await ledger.sales() == 0
            opened += 1

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(start)
    assert opened == 4


def terminate(postgres: PostgresServer, url: str) -> None:
    """Cut every connection to a database, as a restart of the server does."""
    name = url.partition("@/")[2].partition("?")[0]
    postgres.execute(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"  # noqa: S608
    )


async def test_connections_that_died_while_idle_are_made_again(
    ledger: SqlLedger, url: str, postgres: PostgresServer
) -> None:
    for number in range(2):
        terminate(postgres, url)
        assert await ledger.library("device-a")
        await ledger.redeem(redemption(f"after {number}", ONE, first_licence=60 + number), now=NOW)


async def test_lost_server_is_an_error_and_then_forgotten(
    ledger: SqlLedger, url: str, postgres: PostgresServer, tmp_path: Path
) -> None:
    name = url.partition("@/")[2].partition("?")[0]
    what = redemption("while away", ONE, first_licence=70)
    postgres.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    terminate(postgres, url)
    for _ in range(2):
        with pytest.raises(StorageError, match=name):
            await ledger.redeem(what, now=NOW)
        with pytest.raises(StorageError, match=name):
            await ledger.library("device-a")
    postgres.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    assert not (await ledger.redeem(what, now=NOW)).repeated
    assert (await audited(ledger, tmp_path)).findings == 0


async def test_connection_lost_in_a_group_fails_the_whole_group_and_leaves_nothing(
    ledger: SqlLedger, tmp_path: Path
) -> None:
    before = await ledger.sales()
    errors: list[AlbumswarmError] = []

    async def attempt(operation: Callable[[Sql], Any]) -> None:
        try:
            await ledger._write(operation)
        except AlbumswarmError as error:
            errors.append(error)

    async def redeem(number: int) -> None:
        try:
            await ledger.redeem(redemption(f"g-{number}", ONE, first_licence=80 + number), now=NOW)
        except AlbumswarmError as error:
            errors.append(error)

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(attempt, lambda sql: sql.rows("SELECT pg_sleep(0.2)"))
            await trio.testing.wait_all_tasks_blocked(0.05)
            for number in range(5):
                nursery.start_soon(redeem, number)
            die = "SELECT pg_terminate_backend(pg_backend_pid())"
            nursery.start_soon(attempt, lambda sql: sql.rows(die))
    assert len(errors) == 6
    assert all(isinstance(error, StorageError) for error in errors)
    assert await ledger.sales() == before
    await redeem(9)
    assert await ledger.sales() == before + 1
    assert (await audited(ledger, tmp_path)).findings == 0


async def test_commits_are_durable_whatever_the_database_says(
    url: str, postgres: PostgresServer
) -> None:
    name = url.partition("@/")[2].partition("?")[0]
    for given, expected in (("off", "on"), ("on", "on"), ("remote_apply", "remote_apply")):
        postgres.execute(f"ALTER DATABASE {name} SET synchronous_commit = '{given}'")
        async with open_postgres_ledger(url, create=True) as ledger:
            shown = await ledger._write(lambda sql: sql.rows("SHOW synchronous_commit"))
            assert shown == [(expected,)]


@pytest.mark.parametrize(
    ("url", "kind", "message"),
    [
        ("postgresql://u:hunter2@[::1/d", ConfigError, "not a URL of PostgreSQL"),
        ("postgresql://u:hunter2@/d?nonsense=1", ConfigError, "not a URL of PostgreSQL"),
        (
            "postgresql://u:hunter2@localhost:1/d",
            StorageError,
            "ledger d on PostgreSQL at localhost",
        ),
        ("postgresql://u:hunter2@/d?host=/nowhere", StorageError, "/nowhere"),
    ],
)
async def test_wrong_urls_are_told_without_the_password(
    url: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        async with open_postgres_ledger(url):
            pass
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_database_without_a_ledger_or_with_a_newer_one_is_refused(
    url: str, postgres: PostgresServer
) -> None:
    with pytest.raises(StorageError, match="there is no ledger in"):
        async with open_postgres_ledger(url):
            pass
    async with open_postgres_ledger(url, create=True):
        pass
    postgres.execute("INSERT INTO schema_steps (number, name) VALUES (99, 'future')", url)
    with pytest.raises(StorageError, match="newer version"):
        async with open_postgres_ledger(url):
            pass


async def test_ledger_with_sales_is_not_founded_again(
    ledger: SqlLedger, url: str, tmp_path: Path
) -> None:
    assert await ledger.sales()
    with pytest.raises(UsageError, match="another swarm CA"):
        await found_folder(tmp_path / "licensing", ledger=url)


async def test_database_of_another_encoding_is_refused(postgres: PostgresServer) -> None:
    postgres.execute("CREATE DATABASE odd ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(StorageError, match="encoding is not UTF8"):
        async with open_postgres_ledger(postgres.url("odd"), create=True):
            pass
    postgres.execute("DROP DATABASE odd")


def test_without_the_extra_one_clear_line_says_what_to_install(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from licensing.__main__ import main\n"
        f"sys.argv = ['x', 'init', '--store', 'com.example.shop', '--data', {str(tmp_path)!r},"
        " '--ledger', 'postgresql://localhost/x']\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == 2
    assert b"pip install 'albumswarm[licensing,postgres]'" in done.stderr
    assert done.stderr.count(b"\n") == 1
