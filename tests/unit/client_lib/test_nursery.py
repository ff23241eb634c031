"""The nursery of our context managers: callers see the exception, not its wrapping."""

import pytest
import trio

from client_lib.errors import DownloadError, StorageError
from client_lib.nursery import leaves, open_quiet_nursery


async def fail(error: Exception) -> None:
    await trio.lowlevel.checkpoint()
    raise error


async def fail_when_cancelled(error: Exception) -> None:
    try:
        await trio.sleep_forever()
    finally:
        raise error


async def test_body_error_comes_out_as_it_was_raised() -> None:
    cause = OSError("disk")

    async def body() -> None:
        async with open_quiet_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            raise StorageError("full") from cause

    with pytest.raises(StorageError) as raised:
        await body()
    assert raised.value.__cause__ is cause


async def test_task_error_comes_out_as_it_was_raised_through_two_nurseries() -> None:
    async def body() -> None:
        async with open_quiet_nursery() as outer, open_quiet_nursery() as inner:
            outer.start_soon(trio.sleep_forever)
            inner.start_soon(fail, DownloadError("stopped"))

    with pytest.raises(DownloadError, match="stopped"):
        await body()


async def test_first_of_several_errors_of_ours_comes_out_with_the_others_as_notes() -> None:
    async def body() -> None:
        async with open_quiet_nursery() as nursery:
            nursery.start_soon(fail, DownloadError("a"))
            nursery.start_soon(fail_when_cancelled, StorageError("b"))

    with pytest.raises(DownloadError, match=r"^a") as raised:
        await body()
    assert raised.value.__notes__ == ["at the same time: b"]


async def test_a_bug_beside_an_error_of_ours_stays_visible() -> None:
    async def body() -> None:
        async with open_quiet_nursery() as nursery:
            nursery.start_soon(fail, DownloadError("a"))
            nursery.start_soon(fail_when_cancelled, ValueError("bug"))

    with pytest.raises(ExceptionGroup) as raised:
        await body()
    assert {type(error) for error in raised.value.exceptions} == {DownloadError, ValueError}


async def test_cancelled_body_is_cancelled_and_nothing_else() -> None:
    with trio.CancelScope() as scope:
        async with open_quiet_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_body_without_error_waits_for_its_tasks() -> None:
    done: list[str] = []

    async def task() -> None:
        await trio.lowlevel.checkpoint()
        done.append("task")

    async with open_quiet_nursery() as nursery:
        nursery.start_soon(task)
    assert done == ["task"]


def test_leaves_of_nested_groups() -> None:
    a, b, c = OSError("a"), ValueError("b"), KeyError("c")
    assert leaves(ExceptionGroup("x", [a, ExceptionGroup("y", [b, c])])) == [a, b, c]
    assert leaves(a) == [a]
