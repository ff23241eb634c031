"""What a fake store has sold to whom, what is to arrive, and how far each device is."""

import contextlib
import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from client_lib.download.line.schedule import Limits
from client_lib.download.queue import StoredQueue
from client_lib.download.queueing.requests import QueueRequest
from client_lib.errors import LibraryInUse, LicensingRefused, UnreachableError, UsageError
from client_lib.testing.script import Step
from client_lib.wire.licence import LicenceId, licence_id_from
from client_lib.wire.licensing_api import Balance, LicenceRecord, LicenceState
from client_lib.wire.problem import ProblemType
from client_lib.wire.release import Album, TorrentName, parse_torrent_name, split_torrent_name

_STORE, _SUBJECT = "shop.example", "customer-1"
_GRANTED_AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class FakeRelease:
    """An album that can be had: its files by path with their sizes, prices in minor units."""

    name: TorrentName
    album: Album
    files: Mapping[str, int]
    prices: Mapping[str, int]
    script: tuple[Step, ...]

    @property
    def size_bytes(self) -> int:
        """All files."""
        return sum(self.files.values())


class RunningJob(Protocol):
    """A job that downloads with a device, as others of the device see it."""

    async def ask(self, request: QueueRequest) -> None:
        """Carry out what another client asks."""


@dataclass
class AlbumState:
    """How far a device is with an album: `complete` in `folder`, as far as `files` goes."""

    verified_bytes: int = 0
    step: int = 0
    complete: bool = False
    received_bytes: int = 0
    given_s: float = 0.0
    folder: Path | None = None
    files: tuple[str, ...] = ()


@dataclass
class Device:
    """What a device's folder holds in a real client: it outlives the client."""

    licences: tuple[LicenceRecord, ...] = ()
    queue: StoredQueue = field(default_factory=StoredQueue)
    albums: dict[LicenceId, AlbumState] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    job: RunningJob | None = None

    def album(self, licence_id: LicenceId) -> AlbumState:
        """State of an album, from now on."""
        return self.albums.setdefault(licence_id, AlbumState())

    @contextlib.contextmanager
    def exclusive(self, job: RunningJob) -> Iterator[None]:
        """Hold the device for one job. Raises LibraryInUse."""
        if self.job is not None:
            raise LibraryInUse("another job downloads with this library: wait for it")
        self.job = job
        try:
            yield
        finally:
            self.job = None


class Books:
    """Everything of a fake store but its clients."""

    def __init__(self, *, rate_bytes_s: int = 10_000_000) -> None:
        """Open without releases."""
        self.rate_bytes_s = rate_bytes_s
        self.away = False
        self.revoked: set[LicenceId] = set()
        self._releases: dict[TorrentName, FakeRelease] = {}
        self._tokens: dict[str, tuple[TorrentName, ...] | Balance] = {}
        self._redeemed: dict[str, tuple[Device, tuple[LicenceRecord, ...]]] = {}
        self._devices: dict[Path, Device] = {}
        self._balances: dict[str, int] = {}
        self._licences = 0

    def publish(
        self,
        name: str,
        *,
        artist: str = "Artist",
        title: str = "Album",
        year: int | None = 2026,
        files: Mapping[str, int] | None = None,
        prices: Mapping[str, int] | None = None,
        script: Sequence[Step] = (),
    ) -> TorrentName:
        """Publish a release, `<release id>.<format>`; returns its name. Raises IdentifierError.

        `files` are sizes in bytes by path, one of 10 MB if left out; `prices` minor units by
        currency, for `buy`. After the script's last step the rest of the album arrives.
        """
        checked = parse_torrent_name(name)
        self._releases[checked] = FakeRelease(
            checked,
            Album(artist=artist, title=title, year=year),
            dict(files or {"01 Track.flac": 10_000_000}),
            dict(prices or {}),
            tuple(script),
        )
        return checked

    def token(self, *names: TorrentName) -> str:
        """Payment token for releases. Raises UsageError for one that was not published."""
        for name in names:
            self.release(name)
        return self._token(names)

    def credit_token(self, amount_minor: int, currency: str) -> str:
        """Payment token that tops up prepaid credit."""
        return self._token(Balance(_STORE, _SUBJECT, currency, amount_minor))

    def revoke(self, licence: LicenceRecord) -> None:
        """Take a licence back: what is under way of it fails with LicenceRevoked."""
        self.revoked.add(licence.licence_id)

    def release(self, name: TorrentName) -> FakeRelease:
        """A published release. Raises UsageError."""
        if name not in self._releases:
            raise UsageError(f"{name}: the fake store has no such release: publish it first")
        return self._releases[name]

    def releases(self) -> tuple[FakeRelease, ...]:
        """All that is published."""
        return tuple(self._releases.values())

    def device(self, data_folder: Path) -> Device:
        """The device of a folder: the same one for the same folder."""
        return self._devices.setdefault(data_folder.absolute(), Device())

    def redeem(self, device: Device, token: str) -> tuple[LicenceRecord, ...]:
        """As licensing does. Raises LicensingRefused, UnreachableError."""
        self.require_answer()
        if token not in self._tokens:
            raise LicensingRefused(
                ProblemType.PAYMENT_TOKEN_REFUSED, 400, "this token is not by the fake store"
            )
        redeemer, licences = self._redeemed.get(token, (device, None))
        if redeemer is not device:
            raise LicensingRefused(
                ProblemType.TOKEN_ALREADY_REDEEMED, 409, "another device redeemed this token"
            )
        if licences is None:
            bought = self._tokens[token]
            if isinstance(bought, Balance):
                held = self._balances.get(bought.currency, 0)
                self._balances[bought.currency] = held + bought.balance_minor
                licences = ()
            else:
                licences = tuple(self.sell(device, name) for name in bought)
            self._redeemed[token] = device, licences
        return licences

    def sell(self, device: Device, name: TorrentName) -> LicenceRecord:
        """Give a device a licence."""
        release = self.release(name)
        release_id, audio_format = split_torrent_name(name)
        self._licences += 1
        record = LicenceRecord(
            licence_id=licence_id_from(self._licences.to_bytes(16)),
            release_id=release_id,
            format=audio_format,
            name=name,
            info_hash=name.encode().hex()[:64].ljust(64, "0"),
            size_bytes=release.size_bytes,
            album=release.album,
            state=LicenceState.ACTIVE,
            granted_at=_GRANTED_AT,
        )
        device.licences += (record,)
        return record

    def refreshed(self, device: Device) -> tuple[LicenceRecord, ...]:
        """The device's licences with their state as of now."""
        device.licences = tuple(
            msgspec.structs.replace(one, state=LicenceState.REVOKED)
            if one.licence_id in self.revoked
            else one
            for one in device.licences
        )
        return device.licences

    def balances(self) -> tuple[Balance, ...]:
        """Prepaid credit."""
        return tuple(
            Balance(_STORE, _SUBJECT, currency, amount)
            for currency, amount in sorted(self._balances.items())
        )

    def charge(self, amount_minor: int, currency: str) -> int:
        """Take credit; returns what is left. Raises LicensingRefused if there is too little."""
        left = self._balances.get(currency, 0) - amount_minor
        if left < 0:
            raise LicensingRefused(ProblemType.INSUFFICIENT_CREDIT, 402, "not enough credit")
        self._balances[currency] = left
        return left

    def require_answer(self) -> None:
        """Raise UnreachableError while licensing is away."""
        if self.away:
            raise UnreachableError("https://shop.example", "the fake store is away")

    def _token(self, bought: tuple[TorrentName, ...] | Balance) -> str:
        token = f"fake-token-{len(self._tokens) + 1}"
        self._tokens[token] = bought
        return token
