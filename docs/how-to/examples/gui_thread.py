import queue
import sys
import threading
import time
from pathlib import Path

from client_lib import AlbumswarmError, ClientSettings, Event, blocking


class Download:
    """A download in a thread of its own. The window's thread calls everything but `_run`.

    Its buttons may call the methods of `job`, too: `job.pause()`, `job.resume()`, …
    """

    def __init__(self, settings: ClientSettings, payment_token: str, music: Path) -> None:
        self.job: blocking.DownloadJob | None = None
        self.ended = False
        # When it is full the thread waits, and unread progress is conflated meanwhile.
        self._news: queue.Queue[Event | AlbumswarmError | None] = queue.Queue(maxsize=32)
        self._client: blocking.Client | None = None
        self._thread = threading.Thread(target=self._run, args=(settings, payment_token, music))
        self._thread.start()

    def _run(self, settings: ClientSettings, payment_token: str, music: Path) -> None:
        try:
            with blocking.open_client(settings) as self._client:
                licences = self._client.redeem(payment_token)
                with self._client.download(licences, into=music) as self.job:
                    for event in self.job.events():
                        self._news.put(event)
        except AlbumswarmError as error:
            self._news.put(error)
        finally:
            self._news.put(None)

    def news(self) -> list[Event | AlbumswarmError]:
        """What has happened since the last call. Never waits: call it from a timer."""
        arrived: list[Event | AlbumswarmError] = []
        while not self.ended:
            try:
                one = self._news.get_nowait()
            except queue.Empty:
                break
            if one is None:
                self.ended = True
            else:
                arrived.append(one)
        return arrived

    def close(self) -> None:
        """Stop, keeping what is there: for when the window is closed."""
        if self._client is not None:
            self._client.close()
        while not self.ended:
            self.news()
            time.sleep(0.01)
        self._thread.join()


def main(licensing_url: str, licensing_ca: str, payment_token: str) -> None:
    settings = ClientSettings(Path("device"), licensing_url, Path(licensing_ca).read_text())
    download = Download(settings, payment_token, Path("music"))
    try:
        while not download.ended:  # a toolkit's own loop, with a timer
            for one in download.news():
                print(one)
            time.sleep(0.1)
    finally:
        download.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
