"""The client for programs without trio: the same names, without `await`.

    with blocking.open_client(settings) as client:
        licences = client.redeem(payment_token)
        with client.download(licences, into=music_folder) as job:
            for event in job.events():  # conflated; byte totals never go backwards
                ...
        albums = job.result()  # raises the first failure, typed

One thread with a trio run is inside, and ends with the block. Any thread may call; each waits for
its own answer. Ctrl-C interrupts a call at once, and leaving a block stops what is inside
promptly and keeps what was fetched. `close` does that from another thread.

Events, records, settings and errors are those of `client_lib`.
"""

from client_lib.blocking.client import Client, open_client
from client_lib.blocking.job import DownloadJob
from client_lib.blocking.track import TrackStream

__all__ = ["Client", "DownloadJob", "TrackStream", "open_client"]
