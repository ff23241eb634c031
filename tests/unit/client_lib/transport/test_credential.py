"""Credentials: asked for rarely, renewed in time, and never replaced by something wrong."""

import datetime as dt
import random
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
from cryptography import x509
from trio.testing import MockClock

from client_lib.errors import CertificateError, LicensingRefused, UnreachableError
from client_lib.transport.credential import (
    Credential,
    keep_renewed,
    load_credential_file,
    obtain_credential,
    request_credential,
)
from client_lib.wire import certificates
from client_lib.wire.licensing_api import CertificateAnswer
from tests.pki import SwarmPki, licence_identity

PKI = SwarmPki()
START = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)
HALF_LIFE_S = 12.5 * 3600  # of a day and the hour of backdating


def at_trio_time() -> dt.datetime:
    """`now` for tests under a clock that jumps."""
    return START + dt.timedelta(seconds=trio.current_time())


@dataclass
class Licensing:
    """`RequestCertificate`: signs for whoever asks, until told otherwise."""

    pki: SwarmPki = PKI
    now: Callable[[], dt.datetime] = lambda: START
    failures: list[Exception] = field(default_factory=list)
    other_key: bool = False
    asked_at: list[dt.datetime] = field(default_factory=list)
    keys: set[bytes] = field(default_factory=set)

    async def __call__(self, csr: str) -> CertificateAnswer:
        await trio.lowlevel.checkpoint()
        self.asked_at.append(self.now())
        if self.failures:
            raise self.failures.pop(0)
        key = certificates.public_key_from_csr(csr)
        self.keys.add(key.public_numbers().x.to_bytes(32, "big"))
        if self.other_key:
            key = certificates.new_key().public_key()
        leaf = certificates.issue(
            licence_identity(),
            key,
            ca=self.pki.ca,
            ca_key=self.pki.ca_key,
            serial=x509.random_serial_number(),
            now=self.now(),
        )
        return CertificateAnswer(
            certificates.certificate_pem(leaf),
            self.pki.ca_pem,
            leaf.not_valid_before_utc,
            leaf.not_valid_after_utc,
        )


async def obtain(path: Path, ask: Licensing, now: dt.datetime = START) -> Credential:
    return await obtain_credential(path, ask, ca=PKI.ca, now=now, rng=random.Random(1))


async def test_fresh_credential_on_disk_asks_nothing(tmp_path: Path) -> None:
    ask, path = Licensing(), tmp_path / "new folder" / "credential.pem"
    first = await obtain(path, ask)
    assert first.identity == licence_identity()
    again = await obtain(path, ask, START + dt.timedelta(hours=10))
    assert (again.certificate, again.key_pem) == (first.certificate, first.key_pem)
    assert len(ask.asked_at) == 1


async def test_key_is_private_and_never_printed(tmp_path: Path) -> None:
    path = tmp_path / "credential.pem"
    credential = await obtain(path, Licensing())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert repr(credential) == f"Credential({str(path)!r}, …)"


async def test_after_half_its_life_it_is_renewed_with_the_same_key(tmp_path: Path) -> None:
    path, later = tmp_path / "credential.pem", START + dt.timedelta(hours=14)
    first = await obtain(path, Licensing())
    ask = Licensing(now=lambda: later)
    renewed = await obtain(path, ask, later)
    assert renewed.certificate.not_valid_after_utc == later + dt.timedelta(hours=24)
    assert renewed.key_pem == first.key_pem
    loaded = load_credential_file(path)
    assert loaded is not None
    assert loaded.certificate == renewed.certificate


async def test_with_licensing_away_a_valid_one_is_good_enough(tmp_path: Path) -> None:
    path, away = tmp_path / "credential.pem", UnreachableError("https://l", "down")
    first = await obtain(path, Licensing())
    ask = Licensing(failures=[away] * 3)
    kept = await obtain(path, ask, START + dt.timedelta(hours=23))
    assert kept.certificate == first.certificate
    with pytest.raises(UnreachableError):  # it has expired
        await obtain(path, ask, START + dt.timedelta(hours=25))
    with pytest.raises(UnreachableError):  # there is none
        await obtain(tmp_path / "other.pem", ask)
    assert len(ask.asked_at) == 3


async def test_expired_one_is_replaced_with_a_new_key(tmp_path: Path) -> None:
    path, later = tmp_path / "credential.pem", START + dt.timedelta(days=3)
    first = await obtain(path, Licensing())
    second = await obtain(path, Licensing(now=lambda: later), later)
    assert second.key_pem != first.key_pem


@pytest.mark.parametrize(
    "damage",
    [
        lambda pem: pem[: len(pem) // 2],
        lambda _: b"",
        lambda _: b"\xff\x00garbage",
        lambda pem: pem.replace(b"PRIVATE", b"PUBLIC"),
        lambda pem: (
            certificates.key_pem(certificates.new_key()).encode()
            + pem[pem.index(b"-----BEGIN CERT") :]
        ),
    ],
    ids=["half", "empty", "not text", "no key", "another key"],
)
async def test_damaged_file_is_replaced(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path, ask = tmp_path / "credential.pem", Licensing()
    await obtain(path, ask)
    path.write_bytes(damage(path.read_bytes()))
    assert (await obtain(path, ask)).identity == licence_identity()
    assert len(ask.asked_at) == 2
    assert load_credential_file(path) is not None


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (Licensing(other_key=True), "for another key"),
        (Licensing(pki=SwarmPki()), "not signed by this swarm CA"),
        (Licensing(now=lambda: START - dt.timedelta(days=2)), "expired"),
    ],
    ids=["another key", "another CA", "expired"],
)
async def test_wrong_answer_is_refused_and_not_written(
    tmp_path: Path, ask: Licensing, sentence: str
) -> None:
    path = tmp_path / "credential.pem"
    with pytest.raises(CertificateError, match=sentence):
        await request_credential(path, ask, ca=PKI.ca, now=START)
    assert list(tmp_path.iterdir()) == []


async def test_it_is_renewed_at_every_half_life(tmp_path: Path, autojump_clock: MockClock) -> None:
    ask = Licensing(now=at_trio_time)
    credential = await obtain(tmp_path / "credential.pem", ask, at_trio_time())
    renewed: list[Credential] = []

    async def on_renewed(fresh: Credential) -> None:
        renewed.append(fresh)
        if len(renewed) == 12:
            scope.cancel()
        await trio.lowlevel.checkpoint()

    with trio.CancelScope() as scope:
        await keep_renewed(
            credential,
            ask,
            ca=PKI.ca,
            clock=at_trio_time,
            rng=random.Random(2),
            on_renewed=on_renewed,
        )
    gaps = [
        (later - earlier).total_seconds()
        for earlier, later in zip(ask.asked_at, ask.asked_at[1:], strict=False)
    ]
    # From the moment of issue, an hour of the life is over already.
    assert all(abs(gap - (HALF_LIFE_S - 3600)) <= HALF_LIFE_S * 0.1 + 1 for gap in gaps)
    assert len(gaps) == len(renewed) == 12
    assert len(set(gaps)) > 1, "a fleet that was started together must not renew together"
    assert len(ask.keys) == 1


async def test_while_licensing_is_away_it_tries_again_and_says_so(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    ask = Licensing(now=at_trio_time)
    credential = await obtain(tmp_path / "credential.pem", ask, at_trio_time())
    ask.failures = [UnreachableError("https://l", "down")] * 6
    delayed: list[Exception] = []
    renewed = trio.Event()

    async def on_renewed(_: Credential) -> None:
        await trio.lowlevel.checkpoint()
        renewed.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            lambda: keep_renewed(
                credential,
                ask,
                ca=PKI.ca,
                clock=at_trio_time,
                rng=random.Random(3),
                on_renewed=on_renewed,
                on_delayed=delayed.append,
            )
        )
        await renewed.wait()
        nursery.cancel_scope.cancel()
    assert [str(error) for error in delayed] == ["https://l: down"] * 6
    waits = [
        (later - earlier).total_seconds()
        for earlier, later in zip(ask.asked_at[1:], ask.asked_at[2:], strict=False)
    ]
    assert all(2.5 * 2**n <= wait <= 5 * 2**n for n, wait in enumerate(waits))


async def test_refusal_ends_renewal(tmp_path: Path, autojump_clock: MockClock) -> None:
    ask = Licensing(now=at_trio_time)
    credential = await obtain(tmp_path / "credential.pem", ask, at_trio_time())
    ask.failures = [LicensingRefused("urn:x", 403, "revoked")]

    async def never(_: Credential) -> None:
        raise AssertionError("renewed")

    with pytest.raises(LicensingRefused, match="revoked"):
        await keep_renewed(
            credential,
            ask,
            ca=PKI.ca,
            clock=at_trio_time,
            rng=random.Random(4),
            on_renewed=never,
        )
    assert load_credential_file(credential.path) is not None
