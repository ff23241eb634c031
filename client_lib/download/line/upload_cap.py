"""The session's limits: the customer's own, and for upload a share of the line without one."""

import trio

from client_lib.download.line.schedule import Limits
from client_lib.download.line.upload_share import ShareTuning, UploadShare
from client_lib.swarm.session import Session

_SAMPLE_S = 1.0
_ANSWER_S = 5.0


class UploadCap:
    """Applies limits to a session; `run` finds the line's capacity meanwhile."""

    def __init__(self, session: Session, share: float | None) -> None:
        """Take the share of the upload line that may be used, None: all of it."""
        self._session = session
        self._policy = None if share is None else UploadShare(ShareTuning(share=share))
        self._chosen = Limits()
        self._applied: Limits | None = None

    def apply(self, limits: Limits) -> None:
        """Take the customer's limits: an upload limit wins over the share, 0 is none."""
        self._chosen = limits
        self._set()

    async def run(self) -> None:
        """Keep to the share, for ever."""
        while self._policy is not None:
            await trio.sleep(_SAMPLE_S)
            # libtorrent drops answers when too many wait: the next one comes.
            with trio.move_on_after(_ANSWER_S):
                traffic = await self._session.traffic()
                self._policy.update(trio.current_time(), traffic.sent_bytes)
                self._set()
        await trio.sleep_forever()

    def _set(self) -> None:
        up_bytes_s = self._chosen.up_bytes_s
        if not up_bytes_s and self._policy is not None:
            up_bytes_s = self._policy.limit_bytes_s
        limits = Limits(up_bytes_s, self._chosen.down_bytes_s)
        if limits != self._applied:
            self._applied = limits
            self._session.set_limits(
                upload_bytes_s=limits.up_bytes_s, download_bytes_s=limits.down_bytes_s
            )
