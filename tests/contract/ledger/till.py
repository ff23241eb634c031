"""What customers, stores and publishers hand to a ledger, in short."""

import dataclasses
import datetime as dt

import pytest

from client_lib.wire.infohash import InfoHash
from client_lib.wire.licence import LicenceId, licence_id_from
from client_lib.wire.problem import ProblemType
from client_lib.wire.release import Album, TorrentName
from client_lib.wire.revocation_token import RevocationKind
from client_lib.wire.rights import RightsHolder
from licensing.books.ledger import SqlLedger
from licensing.ledger import Ledger, Line, Order, Redemption, Release, Revocation, TopUp
from licensing.refusal import Refusal

NOW = dt.datetime(2026, 11, 21, 12, 0, 0, 123_000, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
ONE, TWO, THREE = (TorrentName(f"album-{n}.flac-16-44") for n in (1, 2, 3))
OTHER_FORMAT = TorrentName("album-1.mp3-320")


def release(name: TorrentName, rights: tuple[RightsHolder, ...] | None = None) -> Release:
    album = Album(artist="Ärtist", title="Title")
    return Release(name, InfoHash.of(name.encode()), 1234, album, b"torrent", rights)


def licence_number(number: int) -> LicenceId:
    return licence_id_from(number.to_bytes(16, "big"))


def credit_token(
    purchase: str = "topup-1",
    amount_minor: int = 1000,
    *,
    token: str | None = None,
    device: str = "device-a",
    subject: str = "customer-1",
    store: str = "shop",
    currency: str = "EUR",
    device_limit: int = 3,
) -> Redemption:
    token = token or f"token of {purchase}"
    return Redemption(
        store=store,
        token_id=token,
        digest=f"digest of {token}",
        purchase=purchase,
        subject=subject,
        device_limit=device_limit,
        device_id=device,
        lines=(),
        topup=TopUp(amount_minor, currency),
    )


def item_token(
    purchase: str, *names: TorrentName, licence: int, device: str = "device-a", amount: int = 999
) -> Redemption:
    lines = tuple(
        Line(name, amount, "EUR", licence_number(licence + place))
        for place, name in enumerate(names)
    )
    token = credit_token(purchase, device=device, token=f"{device}'s token of {purchase}")
    return dataclasses.replace(token, lines=lines, topup=None)


def order(
    key: str,
    name: TorrentName = ONE,
    *,
    device: str = "device-a",
    price: int | None = 400,
    currency: str = "EUR",
) -> Order:
    """An order whose new ids follow from the key and device."""
    number = int.from_bytes(f"{key} {device}".encode()[-16:], "big")
    purchase = f"credit-{key}-{device}"
    return Order(device, key, name, currency, price, purchase, licence_number(number))


def revocation(
    token: str,
    purchase: str = "topup-1",
    kind: RevocationKind = RevocationKind.CHARGEBACK,
    *,
    digest: str | None = None,
    expired_at: dt.datetime | None = None,
) -> Revocation:
    return Revocation("shop", token, digest or f"digest of {token}", purchase, kind, expired_at)


async def balance(ledger: Ledger, device: str = "device-a", currency: str = "EUR") -> int:
    """The device's only balance in a currency; 0 if there is none."""
    found = [b.balance_minor for b in await ledger.balances(device) if b.currency == currency]
    assert len(found) <= 1
    return found[0] if found else 0


async def count_events(ledger: SqlLedger) -> int:
    ((count,),) = await ledger.inspect(lambda sql: sql.rows("SELECT COUNT(*) FROM events"))
    return int(count)


async def do(ledger: Ledger, what: Redemption | Order | Revocation) -> None:
    match what:
        case Redemption():
            await ledger.redeem(what, now=NOW)
        case Order():
            await ledger.buy(what, now=NOW)
        case Revocation():
            await ledger.apply_revocation(what, now=NOW)


async def refused(ledger: SqlLedger, what: Redemption | Order | Revocation) -> Refusal:
    """Do it, see it refused, and nothing recorded."""
    before = await count_events(ledger)
    with pytest.raises(Refusal) as caught:
        await do(ledger, what)
    assert await count_events(ledger) == before
    return caught.value


async def refused_as(
    ledger: SqlLedger, what: Redemption | Order | Revocation, type_: ProblemType
) -> None:
    assert (await refused(ledger, what)).problem_type is type_
