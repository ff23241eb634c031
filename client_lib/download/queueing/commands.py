"""Changing the queue from outside a download: by whoever downloads, or here if nobody does."""

import contextlib

import trio

from client_lib.download.disk import placement
from client_lib.download.library import DeviceLibrary
from client_lib.download.queue import DownloadQueue
from client_lib.download.queueing.requests import QueueRequest, QueueRequests, Remove, apply
from client_lib.errors import LibraryInUse

_LOOK_AGAIN_S = 0.1


async def carry_out(library: DeviceLibrary, request: QueueRequest) -> None:
    """Post a request and wait until it is carried out. Raises StorageError.

    Cancelled, it leaves the request behind for the next download.
    """
    requests = QueueRequests(library.requests_folder)
    path = await trio.to_thread.run_sync(requests.post, request)
    while path.exists():
        with contextlib.suppress(LibraryInUse):
            await trio.to_thread.run_sync(_apply_all, library, requests)
        await trio.sleep(_LOOK_AGAIN_S if path.exists() else 0)


def _apply_all(library: DeviceLibrary, requests: QueueRequests) -> None:
    with library.exclusive():
        for path, request in tuple(requests.pending()):
            if request is not None:
                queue = DownloadQueue(library.queue().entries)
                apply(request, queue)
                library.keep_queue(queue.stored())
                if isinstance(request, Remove) and request.discard:
                    for licence_id in request.licence_ids:
                        placement.discard(library, licence_id)
            path.unlink(missing_ok=True)
