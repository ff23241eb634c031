"""The accounts of one tracker process: in memory at once, on disk in batches."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import structlog
import trio

from client_lib.errors import StorageError
from client_lib.wire.announce import AnnounceRequest, Event
from client_lib.wire.infohash import TruncatedInfoHash
from tracker.accounting import plausibility
from tracker.accounting.amounts import day_of
from tracker.accounting.flags import Flags
from tracker.accounting.regular import Regular
from tracker.accounting.sessions import Progress, Sessions
from tracker.accounting.store_sqlite import AccountingStore, Batch, BrokenAccounts, Movement
from tracker.accounting.tally import Tally
from tracker.swarms.peers import Owner
from tracker.trust.admission import Member, Refusal, Role

T = TypeVar("T")
DEFAULT_SESSION_S = 2_100
"""An interval of 1800 s, a tenth of jitter, and two minutes: longer silence is another session."""
DEFAULT_LINE_RATE = 1_250_000_000
"""Bytes/s of the fastest line that a customer may have: 10 Gbit/s."""
_NO_EVENT = Event.REGULAR
_LAST_FLUSH_S = 5.0
_PRUNING_ROUNDS = 120
_SUSPECTS_EVERY = 12  # rounds: a look at all swarms is a look at the whole file
_MOST_SUSPECTS = 100


class Ledger:
    """Counts every admitted announce; `tally.Accounting`. Make it with `open_accounting`.

    1 µs an announce that moved nothing, 1.5 µs one that did. What is counted since the last batch
    is lost when the process is killed, together with the knowledge that it was counted: it is
    counted again, from the announce after.
    """

    def __init__(self, store: AccountingStore, sessions: Sessions, *, line_rate: int) -> None:
        """Continue with `sessions`; bytes beyond `line_rate` (bytes/s) are flagged, not counted."""
        self._store = store
        self._disk = trio.CapacityLimiter(1)
        self._sessions = sessions
        self._line_rate = line_rate
        self._moved: dict[tuple[Owner, TruncatedInfoHash], Movement] = {}
        self._networks = plausibility.Networks()
        self._to_prune: list[int] = []
        self._failing = False
        self._tally = Tally()
        self._licences = self._seeders = 0
        self.flags = Flags()

    @property
    def counts(self) -> dict[str, int]:
        """Announces by role, refusals by reason, events of the front end; since the start."""
        admitted = {"admitted_licence": self._licences, "admitted_seeder": self._seeders}
        return {**{k: v for k, v in admitted.items() if v}, **self._tally.counts}

    def admitted(
        self, member: Member, request: AnnounceRequest, now_s: float, address: bytes = b""
    ) -> None:
        """Count an announce: what is new of what it reports."""
        roaming = member.info_hash is None
        if roaming:
            self._seeders += 1
        else:
            self._licences += 1
        progress = self._sessions.advance(member.owner, request, now_s, roaming=roaming)
        if progress is not None:
            self._progressed(member, request.info_hash, progress, address, now_s)

    def admitted_again(
        self,
        regular: Regular,
        session: tuple[int, bytes],
        uploaded_bytes: int,
        downloaded_bytes: int,
        left_bytes: int,
        now_s: float,
    ) -> None:
        """Count the announce of a client that is known."""
        if regular.roaming:
            self._seeders += 1
        else:
            self._licences += 1
        progress = self._sessions.report(
            session, _NO_EVENT, uploaded_bytes, downloaded_bytes, left_bytes, now_s
        )
        if progress is not None:
            member, address = regular.member, regular.address
            self._progressed(member, regular.info_hash, progress, address, now_s)

    def refused(self, refusal: Refusal) -> None:
        """Count a refusal by its reason."""
        self._tally.refused(refusal)

    def count(self, what: str) -> None:
        """Count an event of the front end, such as a failed handshake."""
        self._tally.count(what)

    def left_bytes(self, owner: Owner, info_hash: TruncatedInfoHash, client: bytes) -> int | None:
        """What a client said to have left, rounded up to 16 KiB; None if it has no session."""
        left = self._sessions.left_bytes(owner, info_hash, client, roaming=False)
        if left is None:
            return self._sessions.left_bytes(owner, info_hash, client, roaming=True)
        return left

    async def flush(self, now_s: float) -> None:
        """Write what was counted since the last time. Raises StorageError, and keeps it then."""
        moved, self._moved = self._moved, {}
        buckets = self._sessions.take_dirty()
        if not moved and not buckets:
            await trio.lowlevel.checkpoint()
            return
        batch = Batch(day_of(now_s), tuple(moved.values()), buckets)
        try:
            # Not abandoned on cancellation: it would be written, and then written again.
            await trio.to_thread.run_sync(self._store.write, batch, limiter=self._disk)
        except BaseException:
            self._take_back(moved)
            self._sessions.mark_dirty(bucket for bucket, _ in buckets)
            raise

    async def flush_regularly(self, every_s: float, clock: Callable[[], float] = time.time) -> None:
        """Flush, forget old sessions and look for oddities, for ever. A full disk is waited out."""
        rounds = 0
        while True:
            await trio.sleep(every_s)
            rounds += 1
            try:
                self._prune(clock())
                await self.flush(clock())
                if rounds % _SUSPECTS_EVERY == 0:
                    await self.look_for_unmatched(clock())
            except StorageError as error:
                if not self._failing:
                    structlog.get_logger().error("accounts-not-written", reason=str(error))
                self._failing = True
            else:
                if self._failing:
                    structlog.get_logger().info("accounts-written-again")
                self._failing = False

    async def read(self, question: Callable[[AccountingStore], T]) -> T:
        """Ask the store something, in a thread. What is not flushed is not in it."""
        return await trio.to_thread.run_sync(question, self._store, limiter=self._disk)

    async def look_for_unmatched(self, now_s: float) -> None:
        """Flag the swarms whose uploads nobody downloaded. Raises StorageError."""
        suspects = await self.read(
            lambda store: store.suspects(
                slack=plausibility.UNMATCHED_SLACK,
                slack_bytes=plausibility.UNMATCHED_SLACK_BYTES,
                limit=_MOST_SUSPECTS,
            )
        )
        for swarm in suspects:
            evidence = plausibility.unmatched_uploads(swarm.amounts)
            if evidence is not None:
                subject = f"swarm {swarm.name or swarm.info_hash.hex()}"
                self.flags.raise_flag("unmatched-uploads", subject, evidence, now_s)

    def _progressed(
        self,
        member: Member,
        info_hash: TruncatedInfoHash,
        progress: Progress,
        address: bytes,
        now_s: float,
    ) -> None:
        uploaded, downloaded, completed, elapsed_s, first = progress
        if first:
            self._begun(member, address, now_s)
            if not completed:
                return
        possible = plausibility.possible_bytes(elapsed_s, self._line_rate)
        if uploaded > possible or downloaded > possible:
            evidence = plausibility.impossible_rate(
                max(uploaded, downloaded), elapsed_s, self._line_rate
            )
            self._flag("impossible-rate", member, evidence, now_s)
            uploaded = downloaded = 0
        key = (member.owner, info_hash)
        movement = self._moved.get(key)
        if movement is None:
            movement = self._moved[key] = Movement(
                member.role, member.member_id, info_hash, member.torrent_name
            )
        movement.uploaded_bytes += uploaded
        movement.downloaded_bytes += downloaded
        movement.completions += completed

    def _begun(self, member: Member, address: bytes, now_s: float) -> None:
        if member.role is Role.LICENCE and address:
            evidence = self._networks.note(member.owner, address, now_s)
            if evidence is not None:
                self._flag("many-networks", member, evidence, now_s)

    def _flag(self, kind: str, member: Member, evidence: str, now_s: float) -> None:
        subject = f"{member.role.value} {member.member_id}"
        self.flags.raise_flag(kind, subject, evidence, now_s)

    def _take_back(self, moved: dict[tuple[Owner, TruncatedInfoHash], Movement]) -> None:
        for key, movement in moved.items():
            newer = self._moved.get(key)
            if newer is None:
                self._moved[key] = movement
            else:
                newer.uploaded_bytes += movement.uploaded_bytes
                newer.downloaded_bytes += movement.downloaded_bytes
                newer.completions += movement.completions

    def _prune(self, now_s: float) -> None:
        """Forget old sessions, a share of the buckets each time: a million sessions take 0.3 s."""
        if not self._to_prune:
            self._to_prune = self._sessions.buckets()
        share = len(self._to_prune) // _PRUNING_ROUNDS + 256
        for bucket in self._to_prune[-share:]:
            self._sessions.prune(bucket, now_s)
        del self._to_prune[-share:]


@contextlib.asynccontextmanager
async def open_accounting(
    path: Path,
    *,
    session_s: int = DEFAULT_SESSION_S,
    line_rate: int = DEFAULT_LINE_RATE,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[Ledger]:
    """Open the accounts in file `path` and continue its sessions; write the rest after the block.

    A file that is broken is set aside, with an error in the log: announces matter more. Raises
    StorageError.
    """
    store, sessions = await trio.to_thread.run_sync(_opened, path, session_s)
    try:
        ledger = Ledger(store, sessions, line_rate=line_rate)
        try:
            yield ledger
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(_LAST_FLUSH_S):
                try:
                    await ledger.flush(clock())
                except StorageError as error:
                    structlog.get_logger().error("accounts-not-written", reason=str(error))
    finally:
        store.close()


def _opened(path: Path, session_s: int) -> tuple[AccountingStore, Sessions]:
    try:
        return _opened_once(path, session_s)
    except (BrokenAccounts, ValueError) as error:
        aside = path.with_name(f"{path.name}.broken-{time.time_ns()}")
        try:
            path.rename(aside)
            for tail in ("-wal", "-shm"):
                path.with_name(path.name + tail).unlink(missing_ok=True)
        except OSError as failure:
            raise StorageError(f"cannot set {path} aside: {failure.strerror}") from failure
        structlog.get_logger().error("accounts-set-aside", reason=str(error), kept_as=str(aside))
        return _opened_once(path, session_s)


def _opened_once(path: Path, session_s: int) -> tuple[AccountingStore, Sessions]:
    store = AccountingStore(path)
    try:
        sessions = Sessions(session_s=session_s)
        for bucket, records in store.sessions():
            sessions.restore(bucket, records)
    except BaseException:
        store.close()
        raise
    return store, sessions
