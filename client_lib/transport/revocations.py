"""The revocation list: polled from licensing, kept on disk, relied on for a bounded time."""

import datetime as dt
import math
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Protocol

import structlog
import trio
from cryptography import x509

from client_lib.durable import read_file, write_atomically
from client_lib.errors import (
    CertificateError,
    LicensingRefused,
    StorageError,
    UnreachableError,
)
from client_lib.transport.licensing_client import ConditionalAnswer
from client_lib.wire.certificates import BACKDATED_BY
from client_lib.wire.crl import RevocationList

MAX_CRL_BYTES = 64 << 20
_ANSWER_S = 15.0
_REMINDER_S = 3_600.0


class RevocationSource(Protocol):
    """Where lists come from: `LicensingClient`."""

    async def revocation_list(self, etag: str | None = None) -> ConditionalAnswer | None:
        """Newest list, None if it is the one with `etag`. Raises as LicensingClient does."""


class RevocationFeed:
    """What this tracker knows about revoked certificates; `admission.Revocations`."""

    def __init__(self, path: Path, *, ca: x509.Certificate, grace_s: float) -> None:
        """Keep the list at `path`; rely on it until its nextUpdate plus `grace_s`."""
        self._path = path
        self._ca = ca
        self._grace_s = grace_s
        self._etag: str | None = None
        self._failing = False
        self._was_current = True
        self._confirmed_s = 0.0
        self._reminded_s: float | None = None
        self.list: RevocationList | None = None
        self.version: object = None
        """Another one with every list."""
        # Asked for at every announce: a datetime's `timestamp` takes 0.5 µs.
        self._good_until_s = -math.inf

    def is_current(self, now_s: float) -> bool:
        """Whether there is a list, and it is not too old."""
        return now_s <= self._good_until_s

    def is_revoked(self, serial: int) -> bool:
        """Whether the list has this serial number."""
        return self.list is not None and serial in self.list.serials

    def age_s(self, now_s: float) -> float | None:
        """Seconds since licensing last said that this is its list; None without a list.

        For a list from disk: since it was made, as nobody knows better.
        """
        return None if self.list is None else max(0.0, now_s - self._confirmed_s)

    def load(self) -> None:
        """Take the list from disk, if there is a genuine one. Otherwise log why not."""
        if not self._path.exists():
            return
        try:
            der = read_file(self._path, max_bytes=MAX_CRL_BYTES)
            stored = RevocationList.from_der(der, ca=self._ca)
            self._take(stored, stored.this_update)
            self._confirmed_s = stored.this_update.timestamp()
        except (StorageError, CertificateError) as error:
            structlog.get_logger().warning("stored-crl-unusable", reason=str(error))

    async def refresh(
        self,
        source: RevocationSource,
        on_change: Callable[[Collection[int]], None] = lambda _: None,
        *,
        now: dt.datetime,
    ) -> None:
        """Ask once; `on_change` gets all revoked serial numbers if they have changed.

        Raises what the source raises, CertificateError, StorageError.

        Even with StorageError the new list is in force: the disk only matters for a restart while
        licensing is away. It is told before it is written: who is refused from now on is to be
        sent to nobody either.
        """
        answer = await source.revocation_list(self._etag)
        if answer is None:
            return
        fresh = RevocationList.from_der(answer.body, ca=self._ca)
        known = self.list
        # By time, not by number: licensing restored from a backup may count from lower again. A
        # list from the future was made by a clock that was wrong, and must not keep out those that
        # follow when it is put right.
        if known is not None and fresh.this_update < known.this_update <= now + BACKDATED_BY:
            raise CertificateError("revocation list older than the one that we have")
        self._take(fresh, now)
        if known is None or fresh.serials != known.serials:
            structlog.get_logger().info("crl", number=fresh.number, revoked=len(fresh.serials))
            on_change(fresh.serials)
        self._etag = answer.etag or None
        await trio.to_thread.run_sync(write_atomically, self._path, answer.body)

    async def keep_current(
        self,
        source: RevocationSource,
        *,
        every_s: float,
        clock: Callable[[], dt.datetime],
        on_change: Callable[[Collection[int]], None],
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Ask for ever; `on_change` gets all revoked serial numbers when they have changed.

        Has started when it has asked once, whatever the outcome.
        """
        await self._poll(source, clock, on_change)
        task_status.started()
        while True:
            await trio.sleep(every_s)
            await self._poll(source, clock, on_change)

    async def _poll(
        self,
        source: RevocationSource,
        clock: Callable[[], dt.datetime],
        on_change: Callable[[Collection[int]], None],
    ) -> None:
        try:
            with trio.fail_after(_ANSWER_S):
                await self.refresh(source, on_change, now=clock())
        except trio.TooSlowError:
            self._note_failure("no answer in time")
        except (UnreachableError, LicensingRefused, CertificateError, StorageError) as error:
            self._note_failure(str(error))
        else:
            self._confirmed_s = clock().timestamp()
            self._note_success()
        self._note_age(clock())

    def _take(self, fresh: RevocationList, now: dt.datetime) -> None:
        self.list = fresh
        self.version = object()  # not the list: who remembers a version must not keep a list alive
        # Never longer than it was made for: see `refresh` about lists from the future.
        end = min(fresh.next_update, now + (fresh.next_update - fresh.this_update))
        self._good_until_s = end.timestamp() + self._grace_s

    def _note_failure(self, reason: str) -> None:
        if not self._failing:
            structlog.get_logger().warning("crl-poll-failed", reason=reason)
        self._failing = True

    def _note_success(self) -> None:
        if self._failing:
            structlog.get_logger().info("crl-poll-recovered")
        self._failing = False

    def _note_age(self, now: dt.datetime) -> None:
        """Log how old the list is, every hour that licensing is away, and when it is too old.

        Asks for all of it again once it is past due.
        """
        now_s = now.timestamp()
        if not self._failing or self._reminded_s is None:
            self._reminded_s = now_s
        elif self.list is not None and now_s - self._reminded_s >= _REMINDER_S:
            self._reminded_s = now_s
            limit_s = self.list.next_update.timestamp() + self._grace_s
            structlog.get_logger().warning(
                "crl-ageing", age_s=int(now_s - self._confirmed_s), good_for_s=int(limit_s - now_s)
            )
        if self.list is not None and now > self.list.next_update:
            self._etag = None
        current = self.is_current(now_s)
        if self._was_current and not current:
            structlog.get_logger().error(
                "crl-stale",
                next_update=self.list.next_update.isoformat() if self.list else None,
                consequence="every announce is refused until licensing answers",
            )
        elif current and not self._was_current:
            structlog.get_logger().info("crl-current-again")
        self._was_current = current
