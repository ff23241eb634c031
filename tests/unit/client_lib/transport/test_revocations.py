import datetime as dt
from collections.abc import Collection
from pathlib import Path

import pytest
import structlog
import trio

from client_lib.errors import CertificateError, UnreachableError
from client_lib.transport.licensing_client import ConditionalAnswer
from client_lib.transport.revocations import RevocationFeed
from client_lib.wire.crl import build_crl
from tests.patience import PATIENCE_S
from tests.pki import SwarmPki, utc_now

PKI = SwarmPki()
START = utc_now()
HOUR = dt.timedelta(hours=1)
GRACE_S = 3600


class CrlSource:
    """Licensing as far as a revocation list goes: conditional answers, or nobody home."""

    def __init__(self) -> None:
        self.away = False
        self._asked = trio.Event()
        self.whole_answers = 0
        self._body = b""
        self._etag = ""
        self.publish(1)

    def publish(
        self, number: int, *serials: int, now: dt.datetime = START, pki: SwarmPki = PKI
    ) -> None:
        self._body = build_crl(
            [(serial, now) for serial in serials],
            ca=pki.ca,
            ca_key=pki.ca_key,
            number=number,
            now=now,
            next_update=now + HOUR,
        )
        self._etag = f'"{number}"'

    async def asked_again(self) -> None:
        """Wait until the feed has asked, had its answer, and asked once more."""
        for _ in range(2):
            self._asked = trio.Event()
            await self._asked.wait()

    async def revocation_list(self, etag: str | None = None) -> ConditionalAnswer | None:
        self._asked.set()
        await trio.lowlevel.checkpoint()
        if self.away:
            raise UnreachableError("https://licensing.example", "connection refused")
        if etag == self._etag:
            return None
        self.whole_answers += 1
        return ConditionalAnswer(self._body, self._etag)


def feed_at(folder: Path) -> RevocationFeed:
    return RevocationFeed(folder / "crl.der", ca=PKI.ca, grace_s=GRACE_S)


async def test_a_revocation_is_known_after_the_next_poll(tmp_path: Path) -> None:
    feed, source = feed_at(tmp_path), CrlSource()
    send, changes = trio.open_memory_channel[Collection[int]](9)
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                lambda: feed.keep_current(
                    source, every_s=0.001, clock=lambda: START, on_change=send.send_nowait
                )
            )
            assert await changes.receive() == frozenset()
            assert feed.is_current(START.timestamp())
            source.publish(2, 77)
            assert await changes.receive() == {77}
            assert feed.is_revoked(77)
            source.away = True
            await source.asked_again()
            assert feed.is_revoked(77)
            source.away = False
            source.publish(3)  # a chargeback that was lost
            assert await changes.receive() == frozenset()
            await source.asked_again()
            assert source.whole_answers == 3  # all other polls were answered 304
            nursery.cancel_scope.cancel()


async def test_a_revocation_is_told_at_the_moment_from_which_it_is_in_force(tmp_path: Path) -> None:
    feed, source = feed_at(tmp_path), CrlSource()
    told: list[tuple[bool, bool]] = []

    def on_change(serials: Collection[int]) -> None:
        told.append((feed.is_revoked(7), (tmp_path / "crl.der").exists()))

    source.publish(2, 7)
    await feed.refresh(source, on_change, now=START)
    assert told == [(True, False)]
    assert (tmp_path / "crl.der").exists()


async def test_a_full_disk_does_not_keep_a_revocation_from_taking_effect(tmp_path: Path) -> None:
    feed = RevocationFeed(tmp_path / "no such folder" / "crl.der", ca=PKI.ca, grace_s=GRACE_S)
    source = CrlSource()
    source.publish(1, 77)
    send, changes = trio.open_memory_channel[Collection[int]](9)
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                lambda: feed.keep_current(
                    source, every_s=5, clock=lambda: START, on_change=send.send_nowait
                )
            )
            assert await changes.receive() == {77}
            nursery.cancel_scope.cancel()


async def test_the_list_on_disk_serves_a_restart_while_licensing_is_away(tmp_path: Path) -> None:
    source = CrlSource()
    source.publish(5, 77)
    await feed_at(tmp_path).refresh(source, now=START)
    restarted = feed_at(tmp_path)
    assert not restarted.is_current(START.timestamp())
    restarted.load()
    assert restarted.is_current(START.timestamp())
    assert restarted.is_revoked(77)


async def test_a_list_is_relied_on_until_next_update_plus_grace_and_no_longer(
    tmp_path: Path,
) -> None:
    feed = feed_at(tmp_path)
    await feed.refresh(CrlSource(), now=START)
    limit_s = (START + HOUR).timestamp() + GRACE_S
    assert feed.is_current(limit_s)
    assert not feed.is_current(limit_s + 1)


async def test_the_age_of_the_list_counts_from_when_licensing_last_confirmed_it(
    tmp_path: Path,
) -> None:
    feed, source = feed_at(tmp_path), CrlSource()
    assert feed.age_s(START.timestamp()) is None
    now = START + dt.timedelta(minutes=30)
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(
                lambda task_status: feed.keep_current(
                    source,
                    every_s=0.001,
                    clock=lambda: now,
                    on_change=lambda _: None,
                    task_status=task_status,
                )
            )
            assert feed.age_s(now.timestamp()) == 0
            now += HOUR / 2  # answered 304: the same list, confirmed
            await source.asked_again()
            assert feed.age_s(now.timestamp()) == 0
            source.away = True
            await source.asked_again()
            now += HOUR
            await source.asked_again()
            assert feed.age_s(now.timestamp()) == HOUR.total_seconds()
            nursery.cancel_scope.cancel()
    restarted = feed_at(tmp_path)
    restarted.load()
    assert restarted.age_s(now.timestamp()) == (now - START).total_seconds()


async def test_while_licensing_is_away_the_log_says_so_once_an_hour(tmp_path: Path) -> None:
    feed, source, now = feed_at(tmp_path), CrlSource(), START
    with trio.fail_after(PATIENCE_S), structlog.testing.capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            await nursery.start(
                lambda task_status: feed.keep_current(
                    source,
                    every_s=0.001,
                    clock=lambda: now,
                    on_change=lambda _: None,
                    task_status=task_status,
                )
            )
            source.away = True
            for _ in range(3):
                now += dt.timedelta(minutes=61)
                await source.asked_again()
            nursery.cancel_scope.cancel()
    told = [
        line for line in logs if line["event"] in ("crl-poll-failed", "crl-ageing", "crl-stale")
    ]
    assert [line["event"] for line in told] == [
        *("crl-poll-failed", "crl-ageing", "crl-ageing", "crl-stale", "crl-ageing")
    ]
    assert (told[1]["age_s"], told[1]["good_for_s"]) == (61 * 60, 59 * 60)


async def test_another_ca_s_list_and_an_older_list_change_nothing(tmp_path: Path) -> None:
    feed, source = feed_at(tmp_path), CrlSource()
    source.publish(2, 77)
    await feed.refresh(source, now=START)
    source.publish(3, pki=SwarmPki())
    with pytest.raises(CertificateError):
        await feed.refresh(source, now=START)
    source.publish(1, now=START - HOUR)
    with pytest.raises(CertificateError):
        await feed.refresh(source, now=START)
    assert feed.is_revoked(77)


async def test_a_list_of_a_clock_that_was_wrong_keeps_no_later_one_out(tmp_path: Path) -> None:
    feed, source = feed_at(tmp_path), CrlSource()
    source.publish(2, now=START + dt.timedelta(days=365))
    await feed.refresh(source, now=START)
    assert feed.is_current(START.timestamp())
    limit_s = (START + HOUR).timestamp() + GRACE_S
    assert not feed.is_current(limit_s + 1)  # it is relied on no longer than any other
    restarted = feed_at(tmp_path)
    restarted.load()
    for each in (feed, restarted):
        source.publish(3, 77)  # the clock of licensing was put right
        await each.refresh(source, now=START)
        assert each.is_revoked(77)
        assert not each.is_current(limit_s + 1)


@pytest.mark.parametrize("content", [b"", b"rubbish", b"\x30\x82\xff\xff"])
def test_a_damaged_list_on_disk_is_no_list(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "crl.der").write_bytes(content)
    feed = feed_at(tmp_path)
    feed.load()
    assert not feed.is_current(START.timestamp())
