"""What every `Ledger` must do, run on every implementation."""

import dataclasses
import datetime as dt

import pytest
import trio
import trio.testing

from client_lib.errors import AlbumswarmError, StorageError
from client_lib.wire.infohash import InfoHash
from client_lib.wire.licence import LicenceId, licence_id_from
from client_lib.wire.licensing_api import LicenceState
from client_lib.wire.problem import ProblemType
from client_lib.wire.release import Album, TorrentName
from licensing.ledger import (
    ApiKey,
    IssuedNodeCertificate,
    Ledger,
    Line,
    Redemption,
    Release,
    Role,
)
from licensing.refusal import Refusal
from tests.contract.leaves import IssuedCertificate, issue
from tests.patience import PATIENCE_S

NOW = dt.datetime(2026, 11, 21, 12, 0, 0, 123_000, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
HOUR = dt.timedelta(hours=1)
ONE, TWO, THREE = (TorrentName(f"album-{n}.flac-16-44") for n in (1, 2, 3))


@pytest.fixture
async def ledger(empty_ledger: Ledger) -> Ledger:
    for name in (ONE, TWO):
        await empty_ledger.publish(release(name), now=NOW)
    return empty_ledger


def release(name: TorrentName, content: bytes = b"files", title: str = "Title") -> Release:
    info_hash = InfoHash.of(name.encode() + content)
    return Release(name, info_hash, 1234, Album(artist="Ärtist", title=title), b"torrent" + content)


def licence_number(number: int) -> LicenceId:
    return licence_id_from(number.to_bytes(16, "big"))


def redemption(
    token: str = "token-1",  # noqa: S107
    *,
    device: str = "device-a",
    names: tuple[TorrentName, ...] = (ONE,),
    first_licence: int = 1,
    purchase: str = "purchase-1",
    device_limit: int = 2,
) -> Redemption:
    lines = tuple(
        Line(name, 999, "EUR", licence_number(first_licence + n)) for n, name in enumerate(names)
    )
    return Redemption(
        store="shop",
        token_id=token,
        digest=f"digest of {token}",
        purchase=purchase,
        subject="customer-1",
        device_limit=device_limit,
        device_id=device,
        lines=lines,
    )


async def refused(ledger: Ledger, what: Redemption) -> ProblemType:
    before = await ledger.library(what.device_id)
    with pytest.raises(Refusal) as caught:
        await ledger.redeem(what, now=NOW)
    assert await ledger.library(what.device_id) == before
    return caught.value.problem_type


async def test_first_redemption_licenses_every_item(ledger: Ledger) -> None:
    answer = await ledger.redeem(redemption(names=(TWO, ONE)), now=NOW)
    assert not answer.repeated
    assert [licence.name for licence in answer.licences] == [TWO, ONE]
    first = answer.licences[0]
    assert first.licence_id == licence_number(1)
    assert first.info_hash == release(TWO).info_hash.hex
    assert (first.size_bytes, first.album.artist) == (1234, "Ärtist")
    assert (first.state, first.granted_at) == (LicenceState.ACTIVE, NOW)
    assert await ledger.library("device-a") == answer.licences
    assert await ledger.library("device-b") == ()


async def test_repeated_redemption_answers_the_same_and_sells_nothing(ledger: Ledger) -> None:
    first = await ledger.redeem(redemption(), now=NOW)
    again = await ledger.redeem(redemption(first_licence=50), now=NOW + DAY)
    assert (again.repeated, again.licences) == (True, first.licences)


async def test_redeemed_token_is_answered_after_its_expiry_but_a_new_one_is_refused(
    ledger: Ledger,
) -> None:
    first = await ledger.redeem(redemption(), now=NOW)
    late = dataclasses.replace(redemption(), expired_at=NOW)
    assert (await ledger.redeem(late, now=NOW + DAY)).licences == first.licences
    fresh = dataclasses.replace(redemption("token-2", purchase="purchase-2"), expired_at=NOW)
    assert await refused(ledger, fresh) is ProblemType.PAYMENT_TOKEN_REFUSED


async def test_token_is_spent_for_other_devices_and_other_content(ledger: Ledger) -> None:
    await ledger.redeem(redemption(), now=NOW)
    other_device = redemption(device="device-b")
    other_digest = dataclasses.replace(redemption(), digest="another digest")
    assert await refused(ledger, other_device) is ProblemType.TOKEN_ALREADY_REDEEMED
    assert await refused(ledger, other_digest) is ProblemType.TOKEN_ALREADY_REDEEMED


async def test_one_of_64_racing_devices_gets_the_token(ledger: Ledger) -> None:
    outcomes: list[str] = []

    async def race(number: int) -> None:
        device = f"device-{number}"
        try:
            await ledger.redeem(redemption(device=device, first_licence=number + 1), now=NOW)
            outcomes.append(device)
        except Refusal as refusal:
            outcomes.append(refusal.problem_type)

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            for number in range(64):
                nursery.start_soon(race, number)
    (winner,) = set(outcomes) - {ProblemType.TOKEN_ALREADY_REDEEMED}
    assert len(outcomes) == 64
    libraries = [await ledger.library(f"device-{number}") for number in range(64)]
    assert sum(map(len, libraries)) == 1
    assert len(await ledger.library(winner)) == 1


async def test_reminted_token_attaches_a_device_without_a_second_sale(ledger: Ledger) -> None:
    first = await ledger.redeem(redemption(names=(ONE, TWO)), now=NOW)
    # Another order of the same items is the same purchase.
    second = redemption("token-2", device="device-b", names=(TWO, ONE), first_licence=9)
    answer = await ledger.redeem(second, now=NOW + DAY)
    assert (answer.licences, answer.repeated) == (first.licences, False)
    assert await ledger.library("device-b") == first.licences


async def test_device_limit_counts_per_purchase_and_follows_the_newest_token(
    ledger: Ledger,
) -> None:
    for number in (1, 2):
        await ledger.redeem(redemption(f"token-{number}", device=f"device-{number}"), now=NOW)
    third = redemption("token-3", device="device-3")
    assert await refused(ledger, third) is ProblemType.DEVICE_LIMIT_REACHED
    await ledger.redeem(redemption("token-4", device="device-1"), now=NOW)  # already attached
    other = redemption("token-5", device="device-3", purchase="purchase-2", first_licence=7)
    await ledger.redeem(other, now=NOW)
    await ledger.redeem(dataclasses.replace(third, device_limit=3), now=NOW)
    # A lowered limit keeps the first devices and stops the last one.
    await ledger.redeem(redemption("token-6", device="device-1"), now=NOW)
    await ledger.held_licence(licence_number(1), "device-2")
    with pytest.raises(Refusal) as caught:
        await ledger.held_licence(licence_number(1), "device-3")
    assert caught.value.problem_type is ProblemType.DEVICE_LIMIT_REACHED


@pytest.mark.parametrize("change", ["items", "more items", "amount", "currency", "customer"])
async def test_purchase_with_other_goods_is_refused(ledger: Ledger, change: str) -> None:
    await ledger.redeem(redemption(), now=NOW)
    other = redemption("token-2", device="device-b")
    match change:
        case "items":
            other = redemption("token-2", device="device-b", names=(TWO,))
        case "more items":
            other = redemption("token-2", device="device-b", names=(ONE, TWO))
        case "amount":
            line = dataclasses.replace(other.lines[0], amount_minor=1)
            other = dataclasses.replace(other, lines=(line,))
        case "currency":
            line = dataclasses.replace(other.lines[0], currency="USD")
            other = dataclasses.replace(other, lines=(line,))
        case _:
            other = dataclasses.replace(other, subject="customer-2")
    assert await refused(ledger, other) is ProblemType.PURCHASE_MISMATCH


async def test_unknown_release_refuses_the_whole_token(ledger: Ledger) -> None:
    both = redemption(names=(ONE, THREE))
    assert await refused(ledger, both) is ProblemType.UNKNOWN_RELEASE
    await ledger.publish(release(THREE), now=NOW)
    assert len((await ledger.redeem(both, now=NOW)).licences) == 2


async def test_stores_do_not_share_purchases_or_token_ids(ledger: Ledger) -> None:
    await ledger.redeem(redemption(), now=NOW)
    other = dataclasses.replace(redemption(device="device-b", first_licence=5), store="shop 2")
    assert not (await ledger.redeem(other, now=NOW)).repeated


async def test_licence_of_another_device_is_unknown(ledger: Ledger) -> None:
    await ledger.redeem(redemption(), now=NOW)
    held = await ledger.held_licence(licence_number(1), "device-a")
    assert (held.name, held.info_hash) == (ONE, release(ONE).info_hash)
    for licence, device in ((1, "device-b"), (2, "device-a")):
        with pytest.raises(Refusal) as caught:
            await ledger.held_licence(licence_number(licence), device)
        assert caught.value.problem_type is ProblemType.UNKNOWN_LICENCE


def certificate(
    serial: int, licence: int = 1, not_after: dt.datetime = NOW + DAY
) -> IssuedCertificate:
    return IssuedCertificate(serial, licence_number(licence), "device-a", not_after)


async def test_revoked_purchase_lists_its_certificates_and_yields_no_more(
    ledger: Ledger,
) -> None:
    await ledger.redeem(redemption(names=(ONE, TWO)), now=NOW)
    other = redemption("token-2", purchase="purchase-2", first_licence=7)
    await ledger.redeem(other, now=NOW)
    big = (1 << 159) - 1
    await issue(ledger, certificate(big), now=NOW)
    await issue(ledger, certificate(2, not_after=NOW - HOUR), now=NOW)
    await issue(ledger, certificate(3, licence=2), now=NOW)
    await issue(ledger, certificate(4, licence=7), now=NOW)
    assert await ledger.revoked_certificates(NOW) == ()
    before = await ledger.revocation_sequence()
    assert await ledger.revoke_purchase("shop", "purchase-1", reason="refund", now=NOW) == 2
    after = await ledger.revocation_sequence()
    assert after > before
    assert await ledger.revoke_purchase("shop", "purchase-1", reason="again", now=NOW) == 2
    assert await ledger.revocation_sequence() == after

    listed = await ledger.revoked_certificates(NOW)
    assert [(entry.serial, entry.revoked_at) for entry in listed] == [(3, NOW), (big, NOW)]
    # On a clock that is slow they go on for a while (RFC 5280, section 3.3).
    ended = await ledger.revoked_certificates(NOW + DAY + HOUR / 2)
    assert [entry.serial for entry in ended] == [3, big]
    assert await ledger.revoked_certificates(NOW + DAY + HOUR) == ()
    with pytest.raises(Refusal) as caught:
        await issue(ledger, certificate(5), now=NOW)
    assert caught.value.problem_type is ProblemType.LICENCE_REVOKED
    states = [licence.state for licence in await ledger.library("device-a")]
    assert states == [LicenceState.REVOKED, LicenceState.REVOKED, LicenceState.ACTIVE]
    assert await refused(ledger, redemption(names=(ONE, TWO))) is ProblemType.PURCHASE_REVOKED
    again = redemption("token-9", names=(ONE, TWO), device="device-b")
    assert await refused(ledger, again) is ProblemType.PURCHASE_REVOKED


async def test_unexpired_certificates_of_a_licence_on_a_device_are_limited(
    ledger: Ledger,
) -> None:
    await ledger.redeem(redemption(), now=NOW)
    await ledger.redeem(redemption("token-2", device="device-b"), now=NOW)
    ends = [NOW + dt.timedelta(hours=hours) for hours in (-1, 3, 9)]
    for serial, end in enumerate(ends):
        await issue(ledger, certificate(serial, not_after=end), now=NOW, limit=2)
    made = certificate(9)
    with pytest.raises(Refusal) as caught:
        await issue(ledger, made, now=NOW, limit=2)
    assert caught.value.problem_type is ProblemType.TOO_MANY_REQUESTS
    assert caught.value.reason == "certificates"
    assert caught.value.retry_after_s == 3 * 3600
    other = IssuedCertificate(10, licence_number(1), "device-b", NOW + DAY)
    await issue(ledger, other, now=NOW, limit=2)
    await issue(ledger, made, now=ends[1], limit=2)
    await ledger.revoke_licence(licence_number(1), reason="", now=NOW)
    listed = await ledger.revoked_certificates(NOW)
    assert [entry.serial for entry in listed] == [1, 2, 9, 10]


async def test_probe_leaves_no_trace(ledger: Ledger) -> None:
    before = await ledger.revocation_sequence()
    for _ in range(3):
        await ledger.probe()
    assert await ledger.revocation_sequence() == before
    assert await ledger.next_crl_number(now=NOW) == 1


async def test_one_revoked_licence_leaves_the_others_of_its_purchase(ledger: Ledger) -> None:
    await ledger.redeem(redemption(names=(ONE, TWO)), now=NOW)
    await issue(ledger, certificate(1), now=NOW)
    await issue(ledger, certificate(2, licence=2), now=NOW)
    for _ in range(2):
        await ledger.revoke_licence(licence_number(1), reason="", now=NOW)
    assert [entry.serial for entry in await ledger.revoked_certificates(NOW)] == [1]
    await ledger.held_licence(licence_number(2), "device-a")
    with pytest.raises(Refusal):
        await ledger.revoke_licence(licence_number(99), reason="", now=NOW)
    with pytest.raises(Refusal):
        await ledger.revoke_purchase("shop", "nothing", reason="", now=NOW)


async def test_identical_publication_changes_nothing_and_another_is_refused(
    ledger: Ledger,
) -> None:
    first = await ledger.publish(release(THREE), now=NOW)
    again = await ledger.publish(release(THREE), now=NOW + DAY)
    assert (first.repeated, again.repeated) == (False, True)
    assert again.entry == first.entry
    for other in (release(THREE, b"other files"), release(THREE, title="Other")):
        with pytest.raises(Refusal) as caught:
            await ledger.publish(other, now=NOW)
        assert caught.value.problem_type is ProblemType.RELEASE_CONFLICT
    assert await ledger.torrent(THREE) == b"torrentfiles"
    with pytest.raises(Refusal) as caught:
        await ledger.torrent(TorrentName("nothing.mp3"))
    assert caught.value.problem_type is ProblemType.UNKNOWN_RELEASE


async def test_catalogue_is_read_in_pages(ledger: Ledger) -> None:
    await ledger.publish(release(THREE), now=NOW)
    first = await ledger.releases(0, 2)
    assert [entry.name for entry in first] == [ONE, TWO]
    rest = await ledger.releases(first[-1].sequence, 2)
    assert [entry.name for entry in rest] == [THREE]
    assert await ledger.releases(rest[-1].sequence, 2) == ()


async def test_revoked_api_key_takes_its_certificates_with_it(ledger: Ledger) -> None:
    old, new = (ApiKey(hash_, "seeder-1", Role.SEEDER) for hash_ in ("old", "new"))
    tracker = ApiKey("tracker", "tracker-1", Role.TRACKER, ("localhost", "t.example"))
    for key in (old, tracker):
        await ledger.add_api_key(key, now=NOW)
    assert await ledger.api_key("tracker") == tracker
    issued = IssuedNodeCertificate(7, "old", NOW + DAY)
    await ledger.record_node_certificate(issued, now=NOW)
    await ledger.record_node_certificate(IssuedNodeCertificate(8, "tracker", NOW + DAY), now=NOW)
    assert await ledger.revoke_api_key("seeder-1", now=NOW) == 1
    await ledger.add_api_key(new, now=NOW)
    assert [entry.serial for entry in await ledger.revoked_certificates(NOW)] == [7]
    assert await ledger.api_key("new") == new
    for hash_ in ("old", "unknown"):
        with pytest.raises(Refusal) as caught:
            await ledger.api_key(hash_)
        assert caught.value.problem_type is ProblemType.API_KEY_REFUSED
    with pytest.raises(Refusal):
        await ledger.record_node_certificate(issued, now=NOW)


async def test_crl_numbers_only_grow(ledger: Ledger) -> None:
    numbers = [await ledger.next_crl_number(now=NOW) for _ in range(3)]
    assert numbers == sorted(set(numbers))


async def test_cancelled_caller_never_loses_a_write_that_was_handed_in(ledger: Ledger) -> None:
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: ledger.redeem(redemption(), now=NOW))
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    with trio.fail_after(PATIENCE_S):
        assert (await ledger.redeem(redemption(), now=NOW)).repeated


async def test_refused_write_leaves_its_neighbours_in_the_group_alone(ledger: Ledger) -> None:
    wrong = redemption("token-0", names=(THREE,), purchase="wrong", first_licence=1)
    refusals: list[AlbumswarmError] = []

    async def attempt(what: Redemption) -> None:
        try:
            await ledger.redeem(what, now=NOW)
        except AlbumswarmError as error:
            refusals.append(error)

    async with trio.open_nursery() as nursery:
        for number in range(20):
            good = redemption(f"token-{number + 1}", purchase=f"p-{number}", first_licence=number)
            nursery.start_soon(attempt, good)
            nursery.start_soon(attempt, wrong)
    assert len(refusals) == 20
    assert len(await ledger.library("device-a")) == 20


async def test_write_that_fails_half_way_leaves_nothing(ledger: Ledger) -> None:
    await ledger.redeem(redemption(), now=NOW)
    # The second line's licence id is taken: the sale fails after its first rows.
    clash = redemption("token-2", purchase="purchase-2", names=(ONE, TWO), first_licence=0)
    with pytest.raises(StorageError):
        await ledger.redeem(clash, now=NOW)
    assert await ledger.sales() == 1
    better = redemption("token-2", purchase="purchase-2", names=(TWO,), first_licence=9)
    assert [licence.name for licence in (await ledger.redeem(better, now=NOW)).licences] == [TWO]
    assert await ledger.sales() == 2
