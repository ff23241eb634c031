import datetime as dt
from collections.abc import Collection
from pathlib import Path

import pytest
import trio

from client_lib.errors import CertificateError, UnreachableError
from client_lib.transport.licensing_client import ConditionalAnswer
from client_lib.wire.crl import build_crl
from tests.pki import SwarmPki, utc_now
from tracker.trust.revocations import RevocationFeed

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
    with trio.fail_after(30):
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


async def test_a_full_disk_does_not_keep_a_revocation_from_taking_effect(tmp_path: Path) -> None:
    feed = RevocationFeed(tmp_path / "no such folder" / "crl.der", ca=PKI.ca, grace_s=GRACE_S)
    source = CrlSource()
    source.publish(1, 77)
    send, changes = trio.open_memory_channel[Collection[int]](9)
    with trio.fail_after(30):
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
    await feed_at(tmp_path).refresh(source)
    restarted = feed_at(tmp_path)
    assert not restarted.is_current(START.timestamp())
    restarted.load()
    assert restarted.is_current(START.timestamp())
    assert restarted.is_revoked(77)


async def test_a_list_is_relied_on_until_next_update_plus_grace_and_no_longer(
    tmp_path: Path,
) -> None:
    feed = feed_at(tmp_path)
    await feed.refresh(CrlSource())
    limit_s = (START + HOUR).timestamp() + GRACE_S
    assert feed.is_current(limit_s)
    assert not feed.is_current(limit_s + 1)


async def test_another_ca_s_list_and_an_older_list_change_nothing(tmp_path: Path) -> None:
    feed, source = feed_at(tmp_path), CrlSource()
    source.publish(2, 77)
    await feed.refresh(source)
    source.publish(3, pki=SwarmPki())
    with pytest.raises(CertificateError):
        await feed.refresh(source)
    source.publish(1, now=START - HOUR)
    with pytest.raises(CertificateError):
        await feed.refresh(source)
    assert feed.is_revoked(77)


@pytest.mark.parametrize("content", [b"", b"rubbish", b"\x30\x82\xff\xff"])
def test_a_damaged_list_on_disk_is_no_list(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "crl.der").write_bytes(content)
    feed = feed_at(tmp_path)
    feed.load()
    assert not feed.is_current(START.timestamp())
