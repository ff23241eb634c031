"""Licensing is away: those who hold a certificate notice nothing, for as long as was promised."""

import ssl
import time
from pathlib import Path

import pytest
import structlog
import trio

from client_lib.errors import AnnounceRefused
from tests.integration.tracker.rig import FakeLicensing, Rig, running_tracker
from tests.pki import Leaf, SwarmPki, licence_identity

HOUR_S = 3_600.0


class AdvancedClock:
    """The tracker's clock; a test may be hours ahead of the world."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


async def refusal(rig: Rig, leaf: Leaf) -> str:
    with pytest.raises(AnnounceRefused) as refused:
        await rig.announce(leaf)
    return refused.value.reason.partition(":")[0]


async def until_logged(logs: list[structlog.typing.EventDict], event: str) -> None:
    while not any(line["event"] == event for line in logs):  # noqa: ASYNC110 - a log has no event
        await trio.sleep(0.01)


async def test_eight_hours_without_licensing_stop_no_licensed_customer_and_admit_no_other(
    tmp_path: Path,
) -> None:
    clock = AdvancedClock()
    licensing = FakeLicensing(SwarmPki(), tracker_clock=clock)
    pki = licensing.pki
    holders = [pki.issue(licence_identity(number=n)) for n in (1, 2)]
    revoked = pki.issue(licence_identity(number=3))
    elsewhere = pki.issue(licence_identity(info=b"d4:name5:othere", number=4))
    stranger = SwarmPki().issue(licence_identity(number=5))
    licensing.revoked.add(revoked.certificate.serial_number)
    async with running_tracker(tmp_path, licensing) as rig:
        await rig.announce(holders[0], left_bytes=0)
        licensing.away = True
        with structlog.testing.capture_logs() as logs:
            clock.ahead_s = 8 * HOUR_S
            await until_logged(logs, "crl-ageing")
            assert not any(line["event"] == "crl-stale" for line in logs)
            # One who was there before the outage, one who comes in the middle of it.
            for leaf in holders:
                await rig.announce(leaf, left_bytes=0)
            assert await refusal(rig, revoked) == "revoked"
            other = licence_identity().info_hash.truncated
            with pytest.raises(AnnounceRefused, match=r"^other-swarm: "):
                await rig.announce(elsewhere, info_hash=other)
            with pytest.raises((trio.BrokenResourceError, ssl.SSLError, EOFError)):
                await rig.announce(stranger)

            # The list was good for an hour, and 12 hours of grace: then nobody knows any more.
            clock.ahead_s = 13 * HOUR_S + 60
            await until_logged(logs, "crl-stale")
            assert await refusal(rig, holders[0]) == "revocations-unknown"

            licensing.away = False
            clock.ahead_s = 0.0
            await until_logged(logs, "crl-poll-recovered")
            await rig.announce(holders[0], left_bytes=0)
