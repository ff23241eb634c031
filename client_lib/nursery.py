"""A nursery for our own context managers: the body's exception comes out as it was raised."""

import contextlib
from collections.abc import AsyncIterator

import trio

from client_lib.errors import AlbumswarmError


@contextlib.asynccontextmanager
async def open_quiet_nursery() -> AsyncIterator[trio.Nursery]:
    """`trio.open_nursery`, but a group of a single exception is raised as that exception.

    So `except DownloadError` around `async with open_client(…)` works, though a background task
    lives inside. Of several errors of ours at once the first is raised, with the others as notes;
    anything else at once still comes as a group.
    """
    try:
        async with trio.open_nursery() as nursery:
            yield nursery
    except BaseExceptionGroup as group:
        first, *others = leaves(group)
        if others and not all(isinstance(leaf, AlbumswarmError) for leaf in (first, *others)):
            raise
        for other in others:
            first.add_note(f"at the same time: {other}")
        raise first from first.__cause__


def leaves(error: BaseException) -> list[BaseException]:
    """The errors of a group, of its groups too; an error that is no group is its only leaf."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for part in error.exceptions for leaf in leaves(part)]
