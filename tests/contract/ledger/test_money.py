"""Money is neither made nor lost, in whatever order and at whatever moment things happen."""

import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from client_lib.wire.release import TorrentName
from client_lib.wire.revocation_token import RevocationKind
from licensing.books.audit import audit
from licensing.books.ledger import SqlLedger
from licensing.books.sql import Snapshot
from licensing.ledger import Order, Redemption, Revocation
from licensing.refusal import Refusal
from licensing.store_sqlite import open_scratch, open_sqlite_ledger
from tests.contract.ledger.till import (
    NOW,
    credit_token,
    do,
    item_token,
    order,
    release,
    revocation,
)

NAMES = [TorrentName(f"album-{number}.flac") for number in range(4)]
DEVICES = ("device-a", "device-b", "device-c")
KEYS = ("k-1", "k-2", "k-3")
Step = Redemption | Order | Revocation

_topups = st.builds(
    lambda number, device, subject, token: credit_token(
        f"topup-{number}",
        (number + 1) * 350,
        device=device,
        subject=f"customer-{subject}",
        token=f"topup-{number} {token}",
    ),
    st.integers(0, 3),
    st.sampled_from(DEVICES),
    st.integers(1, 2),
    st.integers(0, 1),
)
_albums = st.builds(
    lambda number, device: item_token(
        f"order-{number}", NAMES[number], licence=number, device=device
    ),
    st.integers(0, 1),
    st.sampled_from(DEVICES),
)
_orders = st.builds(
    lambda key, name, device, price: order(key, name, device=device, price=price),
    st.sampled_from(KEYS),
    st.sampled_from(NAMES),
    st.sampled_from(DEVICES),
    st.sampled_from((0, 1, 349, 350, 700)),
)
_revocations = st.builds(
    lambda token, purchase, kind: revocation(f"{token} {purchase} {kind}", purchase, kind),
    st.integers(0, 1),
    st.sampled_from(
        [f"topup-{number}" for number in range(4)]
        + ["order-0", "order-1"]
        + [f"credit-{key}-{device}" for key in KEYS for device in DEVICES]
    ),
    st.sampled_from(RevocationKind),
)
_together = st.lists(st.one_of(_topups, _orders, _orders, _albums, _revocations), max_size=8)


@settings(max_examples=60, deadline=None)
@given(history=st.lists(_together, max_size=6))
async def test_money_is_neither_made_nor_lost(history: list[list[Step]]) -> None:
    """Steps of a list happen at the same time, the lists one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        async with open_sqlite_ledger(Path(folder) / "ledger.sqlite3", create=True) as ledger:
            for name in NAMES:
                await ledger.publish(release(name), now=NOW)
            for together in history:
                async with trio.open_nursery() as nursery:
                    for step in together:
                        nursery.start_soon(_try, ledger, step)
                await ledger.inspect(_check_accounts)
            findings = await ledger.inspect(lambda sql: _audit(sql, Path(folder) / "scratch"))
    assert findings == []


async def _try(ledger: SqlLedger, step: Step) -> None:
    try:
        await do(ledger, step)
    except Refusal:
        return


def _check_accounts(sql: Snapshot) -> None:
    """What an account holds, less what it lacks, is what was paid in and not spent."""
    expected: defaultdict[tuple[Any, ...], int] = defaultdict(int)
    for *account, amount in sql.rows(
        "SELECT p.store, p.subject, t.currency, t.amount_minor FROM topups t"
        " JOIN purchases p ON p.purchase_id = t.purchase_id WHERE p.revoked_at IS NULL"
    ):
        expected[tuple(account)] += amount
    for *account, amount in sql.rows(
        "SELECT p.store, p.subject, l.currency, l.amount_minor FROM licences l"
        " JOIN purchases p ON p.purchase_id = l.purchase_id"
        " WHERE p.from_credit = 1 AND p.revoked_at IS NULL"
    ):
        expected[tuple(account)] -= amount
    accounts = sql.rows(
        "SELECT store, subject, currency, balance_minor, shortfall_minor FROM accounts"
    )
    for *account, balance, shortfall in accounts:
        assert balance >= 0
        assert shortfall >= 0
        assert balance - shortfall == expected.pop(tuple(account), 0)
    assert set(expected.values()) <= {0}
    charged = "SELECT COUNT(*), COALESCE(SUM(charged_minor), 0) FROM orders WHERE owned = 0"
    sold = (
        "SELECT COUNT(*), COALESCE(SUM(l.amount_minor), 0) FROM licences l"
        " JOIN purchases p ON p.purchase_id = l.purchase_id WHERE p.from_credit = 1"
    )
    assert sql.rows(charged) == sql.rows(sold)


def _audit(snapshot: Snapshot, path: Path) -> list[str]:
    """The events alone, replayed by other code, lead to the same accounts."""
    findings: list[str] = []
    with open_scratch(path) as scratch:
        audit(snapshot, scratch, tell=findings.append)
    return findings
