import threading
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

from client_lib.errors import StorageError
from licensing.books.sql import Sql, Value
from licensing.group_commit import LARGEST_GROUP, Outcome, WriteQueue, open_write_queue
from tests.patience import PATIENCE_S


class Writer:
    """Counts groups; `go` holds a commit back, `failing` makes it fail."""

    def __init__(self) -> None:
        self.groups: list[int] = []
        self.go = threading.Event()
        self.go.set()
        self.failing = False

    def rows(self, statement: str, *parameters: Value) -> list[tuple[Any, ...]]:
        raise NotImplementedError

    def commit_group(self, operations: list[Callable[[Sql], Any]]) -> list[Outcome]:
        self.go.wait(10)
        self.groups.append(len(operations))
        if self.failing:
            raise StorageError("disk full")
        return [Outcome(value=operation(self)) for operation in operations]


async def _write_many(queue: WriteQueue, number: int) -> list[int]:
    answers: list[int] = []

    async def write(value: int) -> None:
        answers.append(await queue.write(lambda _sql: value))

    async with trio.open_nursery() as nursery:
        for value in range(number):
            nursery.start_soon(write, value)
    return answers


async def test_writes_that_wait_share_a_commit() -> None:
    writer = Writer()
    with trio.fail_after(PATIENCE_S):
        async with open_write_queue(writer) as queue:
            answers = await _write_many(queue, 200)
    assert sorted(answers) == list(range(200))
    assert len(writer.groups) < 50
    assert max(writer.groups) <= LARGEST_GROUP


async def test_nobody_is_answered_before_the_commit() -> None:
    writer = Writer()
    writer.go.clear()
    done = []

    async def write(queue: WriteQueue) -> None:
        done.append(await queue.write(lambda _sql: 1))

    with trio.fail_after(PATIENCE_S):
        async with open_write_queue(writer) as queue, trio.open_nursery() as nursery:
            nursery.start_soon(write, queue)
            await trio.testing.wait_all_tasks_blocked()
            assert done == []
            writer.go.set()
    assert done == [1]


async def test_failed_commit_is_told_to_everybody_in_it_and_the_next_goes_on() -> None:
    writer = Writer()
    writer.failing = True
    async with open_write_queue(writer) as queue:
        with pytest.raises(StorageError, match="disk full"):
            await queue.write(lambda _sql: 1)
        writer.failing = False
        assert await queue.write(lambda _sql: 2) == 2
    with pytest.raises(StorageError, match="closed"):
        await queue.write(lambda _sql: 3)


async def test_cancelled_service_still_commits_what_was_handed_in() -> None:
    writer = Writer()
    writer.go.clear()
    with trio.fail_after(PATIENCE_S):
        with trio.CancelScope() as scope:
            async with open_write_queue(writer) as queue, trio.open_nursery() as nursery:
                for _ in range(10):
                    nursery.start_soon(queue.write, lambda _sql: 1)
                await trio.testing.wait_all_tasks_blocked()
                writer.go.set()
                scope.cancel()
    assert sum(writer.groups) == 10
