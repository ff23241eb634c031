"""How fast a node may upload, and who is next: start-time fair queueing over its swarms.

Swarms wait in the order of their virtual start times, so that each gets a part of the line in
proportion to its weight (Goyal, Vin and Cheng, SIGCOMM 1996).
"""

import heapq
import itertools
from dataclasses import dataclass

import trio

_BURST_S = 0.05
"""What may leave at once after a pause. Short, so that a limited node does not come in gushes."""


@dataclass(slots=True, eq=False)
class Flow:
    """Everything that leaves for one swarm. `weight` is its part of the line against others'."""

    weight: float = 1.0
    finish: float = 0.0
    """Virtual time at which what it has asked for so far is over."""


class Pace:
    """Payload bytes a second, 0 for no limit."""

    def __init__(self, bytes_s: float) -> None:
        """Start full."""
        self.bytes_s = bytes_s
        self._free_at_s = 0.0
        self._virtual = 0.0
        self._busy = False
        self._waiting: list[tuple[float, int, trio.Event]] = []
        self._numbers = itertools.count()

    @property
    def spare(self) -> bool:
        """Whether more could leave now."""
        return not self._busy and self._free_at_s <= trio.current_time()

    async def take(self, size_bytes: int, flow: Flow) -> None:
        """Wait until so many bytes may leave."""
        if not self.bytes_s:
            return
        start = max(self._virtual, flow.finish)
        flow.finish = start + size_bytes / flow.weight
        if self._busy:
            await self._turn(start)
        self._busy = True
        self._virtual = start
        try:
            now_s = trio.current_time()
            begin_s = max(self._free_at_s, now_s - _BURST_S)
            if begin_s > now_s:
                await trio.sleep_until(begin_s)
            self._free_at_s = begin_s + size_bytes / self.bytes_s
        finally:
            self._pass_on()

    async def _turn(self, start: float) -> None:
        turn = trio.Event()
        entry = start, next(self._numbers), turn
        heapq.heappush(self._waiting, entry)
        try:
            await turn.wait()
        except trio.Cancelled:
            if turn.is_set():  # in the same moment: it is the next one's
                self._pass_on()
            else:
                self._waiting.remove(entry)
                heapq.heapify(self._waiting)
            raise

    def _pass_on(self) -> None:
        if self._waiting:
            heapq.heappop(self._waiting)[2].set()
        else:
            self._busy = False
