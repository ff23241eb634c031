"""A short life of a licensing service in which every kind of event happens."""

import datetime as dt

from client_lib.wire.infohash import InfoHash
from client_lib.wire.licence import LicenceId, licence_id_from
from client_lib.wire.release import Album, TorrentName
from client_lib.wire.revocation_token import RevocationKind
from client_lib.wire.rights import RightsHolder
from licensing.ledger import (
    ApiKey,
    IssuedNodeCertificate,
    Ledger,
    Line,
    Order,
    Redemption,
    Release,
    Revocation,
    Role,
    TopUp,
)
from tests.contract.leaves import IssuedCertificate, issue

NOW = dt.datetime(2026, 11, 21, 12, 0, 0, 123_000, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
ONE, TWO = (TorrentName(f"album-{n}.flac-16-44") for n in (1, 2))
SHARES = (RightsHolder("Ärtist", 7_000), RightsHolder("Label", 3_000))


def licence_number(number: int) -> LicenceId:
    return licence_id_from(number.to_bytes(16, "big"))


def redemption(
    purchase: str,
    *names: TorrentName,
    token: str | None = None,
    device: str = "device-a",
    first_licence: int = 1,
    topup: TopUp | None = None,
    subject: str = "customer-1",
) -> Redemption:
    lines = tuple(
        Line(name, 999, "EUR", licence_number(first_licence + number))
        for number, name in enumerate(names)
    )
    token = token or f"token of {purchase}"
    return Redemption(
        store="shop",
        token_id=token,
        digest=f"digest of {token}",
        purchase=purchase,
        subject=subject,
        device_limit=3,
        device_id=device,
        lines=lines,
        topup=topup,
    )


def order(key: str, name: TorrentName, number: int, *, device: str = "device-a") -> Order:
    return Order(device, key, name, "EUR", 400, f"bought-{number}", licence_number(number))


def revocation(token: str, purchase: str, kind: RevocationKind) -> Revocation:
    return Revocation("shop", token, f"digest of {token}", purchase, kind)


async def live(ledger: Ledger) -> None:
    """Write every kind of event, and leave at least one row in every table."""
    for name in (ONE, TWO):
        await ledger.publish(
            Release(
                name,
                InfoHash.of(name.encode()),
                1234,
                Album(artist="Ärtist", title="Title"),
                b"torrent of " + name.encode(),
                SHARES if name == TWO else None,
            ),
            now=NOW,
        )
    await _sell(ledger)
    await _spend_credit(ledger)
    await _issue(ledger)
    await _revoke(ledger)


async def _sell(ledger: Ledger) -> None:
    await ledger.redeem(redemption("order-1", TWO, ONE), now=NOW)
    again = redemption("order-1", TWO, ONE, token="again", device="device-b", first_licence=50)
    await ledger.redeem(again, now=NOW + DAY)
    await ledger.redeem(redemption("order-2", ONE, first_licence=3, subject="c-2"), now=NOW)
    await ledger.redeem(redemption("order-3", TWO, first_licence=4, subject="c-3"), now=NOW)


async def _spend_credit(ledger: Ledger) -> None:
    for number, amount in ((1, 1000), (2, 500)):
        topup = TopUp(amount, "EUR")
        what = redemption(f"topup-{number}", topup=topup, device="device-c", subject="customer-4")
        await ledger.redeem(what, now=NOW)
    await ledger.buy(order("key-1", ONE, 10, device="device-c"), now=NOW)
    await ledger.buy(order("key-2", TWO, 11, device="device-c"), now=NOW)
    owned = await ledger.buy(order("key-3", TWO, 12, device="device-c"), now=NOW)
    assert owned.already_owned


async def _issue(ledger: Ledger) -> None:
    for number, licence in enumerate((1, 2, 10), start=1):
        device = "device-c" if licence == 10 else "device-a"
        issued = IssuedCertificate(number, licence_number(licence), device, NOW + DAY)
        await issue(ledger, issued, now=NOW)
    for role in (Role.SEEDER, Role.PUBLISHER):
        await ledger.add_api_key(ApiKey(f"hash of {role}", role.value, role), now=NOW)
    tracker = ApiKey("hash of tracker", "tracker", Role.TRACKER, ("localhost", "t.example"))
    await ledger.add_api_key(tracker, now=NOW)
    node = IssuedNodeCertificate((1 << 159) - 1, "hash of seeder", NOW + DAY)
    await ledger.record_node_certificate(node, now=NOW)


async def _revoke(ledger: Ledger) -> None:
    await ledger.revoke_purchase("shop", "order-2", reason="refund", now=NOW + DAY)
    await ledger.reinstate_purchase("shop", "order-2", reason="mistake", now=NOW + DAY)
    await ledger.revoke_purchase("shop", "order-3", reason="refund", now=NOW + DAY)
    for token, purchase, kind in (
        ("r-1", "topup-1", RevocationKind.CHARGEBACK),
        ("r-2", "bought-11", RevocationKind.REFUND),
        ("r-3", "bought-11", RevocationKind.REINSTATE),
        ("r-4", "never redeemed", RevocationKind.REFUND),
        ("r-5", "redeemed after all", RevocationKind.REFUND),
        ("r-6", "redeemed after all", RevocationKind.REINSTATE),
        ("r-7", "order-1", RevocationKind.REINSTATE),
    ):
        await ledger.apply_revocation(revocation(token, purchase, kind), now=NOW + DAY)
    await ledger.revoke_licence(licence_number(1), reason="leaked", now=NOW + DAY)
    await ledger.revoke_licence(licence_number(2), reason="leaked", now=NOW + DAY)
    await ledger.reinstate_licence(licence_number(2), reason="not leaked", now=NOW + DAY)
    await ledger.revoke_api_key("seeder", now=NOW + DAY)
    for _ in range(2):
        await ledger.next_crl_number(now=NOW + DAY)
