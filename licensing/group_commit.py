"""Group commit: writes that wait at the same time share one transaction and one disk sync.

One task takes operations from a bounded channel and runs all that wait, each in a savepoint of
its own, in a worker thread; it answers only after the commit. A caller that is cancelled
meanwhile goes away, its operation does not.
"""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import trio

from client_lib.errors import StorageError
from client_lib.nursery import open_quiet_nursery
from licensing.books.sql import Sql

T = TypeVar("T")

QUEUE_LENGTH = 256
LARGEST_GROUP = 64


class GroupWriter(Protocol):
    """The one connection that writes. Called from one thread at a time."""

    def commit_group(self, operations: list[Callable[[Sql], Any]]) -> list["Outcome"]:
        """Run all in one transaction, each as if it were alone; return when it is durable.

        Raises StorageError if the transaction as a whole failed: then nothing was written.
        """
        ...


@dataclass(slots=True)
class Outcome:
    """What one operation returned or raised."""

    value: Any = None
    error: Exception | None = None

    def unwrap(self) -> Any:  # noqa: ANN401 - the caller knows what its operation returns
        """Return the value or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value


@dataclass(slots=True)
class _Waiting:
    operation: Callable[[Sql], Any]
    done: trio.Event = field(default_factory=trio.Event)
    outcome: Outcome = field(default_factory=Outcome)


class WriteQueue:
    """Where writes are handed in."""

    def __init__(self, send: trio.MemorySendChannel[_Waiting]) -> None:
        """Use `open_write_queue`."""
        self._send = send

    async def write(self, operation: Callable[[Sql], T]) -> T:
        """Run `operation` in the next group; return or raise what it did, once durable."""
        waiting = _Waiting(operation)
        try:
            await self._send.send(waiting)
        except (trio.ClosedResourceError, trio.BrokenResourceError) as error:
            raise StorageError("the ledger is closed") from error
        await waiting.done.wait()
        value: T = waiting.outcome.unwrap()
        return value


@contextlib.asynccontextmanager
async def open_write_queue(writer: GroupWriter) -> AsyncIterator[WriteQueue]:
    """Write in groups until the block ends; what was handed in by then is still written."""
    send, receive = trio.open_memory_channel[_Waiting](QUEUE_LENGTH)
    async with open_quiet_nursery() as nursery:
        nursery.start_soon(_write_groups, writer, receive)
        try:
            yield WriteQueue(send)
        finally:
            send.close()


async def _write_groups(writer: GroupWriter, receive: trio.MemoryReceiveChannel[_Waiting]) -> None:
    # Shielded: it ends when the channel is closed and empty, which the queue's owner sees to.
    with trio.CancelScope(shield=True):
        limiter = trio.CapacityLimiter(1)
        async for first in receive:
            group = [first]
            with contextlib.suppress(trio.WouldBlock, trio.EndOfChannel):
                while len(group) < LARGEST_GROUP:
                    group.append(receive.receive_nowait())
            operations = [waiting.operation for waiting in group]
            try:
                outcomes = await trio.to_thread.run_sync(
                    writer.commit_group, operations, limiter=limiter
                )
            except Exception as error:  # every caller gets it; the next group starts afresh
                outcomes = [Outcome(error=error)] * len(group)
            for waiting, outcome in zip(group, outcomes, strict=True):
                waiting.outcome = outcome
                waiting.done.set()
