"""A nursery for our own context managers: the body's exception comes out as it was raised."""

import contextlib
from collections.abc import AsyncIterator

import trio


@contextlib.asynccontextmanager
async def open_quiet_nursery() -> AsyncIterator[trio.Nursery]:
    """`trio.open_nursery`, but a group of a single exception is raised as that exception.

    So `except DownloadError` around `async with open_client(…)` works, though a background task
    lives inside. Several failures at once still come as a group.
    """
    try:
        async with trio.open_nursery() as nursery:
            yield nursery
    except BaseExceptionGroup as group:
        only = _only_one(group)
        if only is None:
            raise
        raise only from only.__cause__


def _only_one(group: BaseExceptionGroup[BaseException]) -> BaseException | None:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        if len(error.exceptions) != 1:
            return None
        error = error.exceptions[0]
    return error
