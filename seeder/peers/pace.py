"""How fast a node may upload: a bucket of tokens, from which every block is taken."""

import trio

_BURST_S = 0.05
"""What may leave at once after a pause. Short, so that a limited node does not come in gushes."""


class Pace:
    """Payload bytes a second, 0 for no limit. Those who wait are served in turn."""

    def __init__(self, bytes_s: float) -> None:
        """Start full."""
        self.bytes_s = bytes_s
        self._turn = trio.StrictFIFOLock()
        self._free_at_s = 0.0

    async def take(self, size_bytes: int) -> None:
        """Wait until so many bytes may leave."""
        if not self.bytes_s:
            return
        async with self._turn:
            now_s = trio.current_time()
            begin_s = max(self._free_at_s, now_s - _BURST_S)
            self._free_at_s = begin_s + size_bytes / self.bytes_s
            if begin_s > now_s:
                await trio.sleep_until(begin_s)
