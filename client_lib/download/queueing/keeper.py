"""Keeps the queue on disk: commands are acknowledged when written, progress is written lazily."""

import math

import trio

from client_lib.download.library import DeviceLibrary
from client_lib.download.queue import DownloadQueue
from client_lib.errors import StorageError

_LAZY_S = 0.5
_RETRY_S = 5.0


class QueueKeeper:
    """The queue of the process that holds the library. `run` writes while it runs."""

    def __init__(self, library: DeviceLibrary) -> None:
        """Take over the queue of the last run. Raises StorageError for a damaged one."""
        self._library = library
        self.queue = DownloadQueue(library.queue().entries)
        self._version = 0
        self._written = 0
        self._wanted = 0
        self._failure: StorageError | None = None
        self._stopped = False
        self._wake = trio.Event()
        self._done = trio.Event()

    def changed(self) -> None:
        """Say that the queue changed: written soon, together with what else changes.

        Nothing depends on it: whether an album is complete is told by its own record.
        """
        self._version += 1
        self._wake.set()

    async def saved(self) -> None:
        """Write the queue now, and return when it is on disk. Raises StorageError.

        Also when the download has ended meanwhile, and with it `run`.
        """
        self._version += 1
        mine = self._wanted = self._version
        self._wake.set()
        await trio.lowlevel.checkpoint()
        while self._written < mine:
            if self._stopped:
                await self._write()
                return
            await self._done.wait()
            if self._failure is not None and self._written < mine:
                raise self._failure

    def write_now(self) -> None:
        """Write the queue, blocking: for the last word of a run. Raises StorageError."""
        if self._written < self._version:
            self._library.keep_queue(self.queue.stored())
            self._written = self._version

    async def run(self) -> None:
        """Write whenever something changed, for ever. What cannot be written is tried again."""
        try:
            await self._keep_writing()
        finally:
            self._stopped = True
            self._done.set()

    async def _keep_writing(self) -> None:
        while True:
            with trio.move_on_after(math.inf if self._failure is None else _RETRY_S):
                await self._wake.wait()
            self._wake = trio.Event()
            if self._wanted <= self._written:
                with trio.move_on_after(_LAZY_S):
                    while self._wanted <= self._written:
                        await self._wake.wait()
                        self._wake = trio.Event()
            try:
                await self._write()
            except StorageError as error:
                self._failure, self._wanted = error, self._written
            else:
                self._failure = None
            self._done.set()
            self._done = trio.Event()

    async def _write(self) -> None:
        version, stored = self._version, self.queue.stored()
        await trio.to_thread.run_sync(self._library.keep_queue, stored)
        self._written = version
