"""A ledger over connections: one that writes in groups, a few that read, in worker threads."""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

import trio

from licensing.books.ledger import SqlLedger
from licensing.books.sql import Snapshot, Sql
from licensing.group_commit import WriteQueue

T = TypeVar("T")


class Reader(Protocol):
    """A connection that reads. Called from one thread at a time."""

    def read(self, operation: Callable[[Snapshot], T]) -> T:
        """Run `operation` in a read-only transaction. Raises StorageError."""
        ...


class PooledLedger(SqlLedger):
    """Both SQL stores. `new_reader` opens one more reader, for long inspections."""

    def __init__(
        self,
        queue: WriteQueue,
        readers: Sequence[Reader],
        new_reader: Callable[[], AbstractContextManager[Reader]],
    ) -> None:
        """Take connections that are open; whoever opened them closes them."""
        self._queue = queue
        self._readers = deque(readers)
        self._limiter = trio.CapacityLimiter(len(readers))
        self._new_reader = new_reader

    async def _write(self, operation: Callable[[Sql], T]) -> T:
        return await self._queue.write(operation)

    async def _read(self, operation: Callable[[Sql], T]) -> T:
        async with self._limiter:
            reader = self._readers.popleft()
            try:
                return await trio.to_thread.run_sync(reader.read, operation)
            finally:
                self._readers.append(reader)

    async def inspect(self, operation: Callable[[Snapshot], T]) -> T:
        """See `SqlLedger.inspect`."""

        def run() -> T:
            with self._new_reader() as reader:
                return reader.read(operation)

        return await trio.to_thread.run_sync(run)
