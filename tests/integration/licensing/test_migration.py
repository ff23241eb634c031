"""A ledger of the first schema, with sales in it, is brought up to date when it is opened."""

import contextlib
import datetime as dt
from pathlib import Path

from pysqlite3 import dbapi2
from sqlite_utils import Database

from client_lib.wire.release import Album, ReleaseId, TorrentName
from client_lib.wire.rights import RightsHolder
from licensing.books.sql import to_ms
from licensing.ledger import SoldAlike
from licensing.migrations_sqlite import migrations
from licensing.store_sqlite import open_sqlite_ledger

NOW = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
NAME = TorrentName("rel-0001.flac")
ALBUM = '{"artist":"Björk","title":"Début"}'


def first_ledger(path: Path) -> None:
    """Two sales, one of which was refunded, as the first release wrote them."""
    at = to_ms(NOW)
    with contextlib.closing(dbapi2.connect(path, isolation_level=None)) as connection:
        steps = Database(connection, execute_plugins=False)
        migrations.apply(steps, stop_before="credit_and_royalties")
        connection.execute("INSERT INTO releases VALUES (1, ?, ?, 5, ?, ?)", (NAME, "0", ALBUM, at))
        for number, revoked_at in ((1, None), (2, at + 1)):
            connection.execute(
                "INSERT INTO purchases VALUES (?, 'shop', ?, 'c', 5, ?, ?)",
                (number, f"order-{number}", at, revoked_at),
            )
            connection.execute(
                "INSERT INTO licences VALUES (?, ?, 0, ?, 999, 'EUR', ?, NULL)",
                ("a" * 25 + "bc"[number - 1], number, NAME, at),
            )


async def test_earlier_sales_and_refunds_are_in_the_statements(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    first_ledger(path)
    for _ in range(2):
        async with open_sqlite_ledger(path) as ledger:
            sold = await ledger.sold_between(NOW, NOW + dt.timedelta(days=1))
            artist = (RightsHolder("Björk", 10_000),)
            assert sold == (SoldAlike(NAME, 999, "EUR", artist, sold=2, refunded=1),)
            (entry,) = await ledger.formats(ReleaseId("rel-0001"))
            assert entry.album == Album(artist="Björk", title="Début")
            await ledger.reinstate_purchase("shop", "order-2", reason="", now=NOW)
            await ledger.revoke_purchase("shop", "order-2", reason="", now=NOW)
