"""How fast a node may upload, and who is next: start-time fair queueing over its swarms.

Swarms wait in the order of their virtual start times, so that each gets a part of the line in
proportion to its weight (Goyal, Vin and Cheng, SIGCOMM 1996). Within a swarm, first come first
served.
"""

from collections import deque
from dataclasses import dataclass, field

import trio

_BURST_S = 0.05
"""What may leave at once after a pause. Short, so that a limited node does not come in gushes."""
_EPOCH = 1e9
"""Virtual time begins anew, before it is so large that a heavy swarm's bytes are lost in it."""


@dataclass(slots=True, eq=False)
class Flow:
    """Everything that leaves for one swarm. `Pace.weigh` sets its part of the line."""

    weight: float = 1.0
    finish: float = 0.0
    """Virtual time at which what was served last is over."""
    epoch: int = 0
    waiting: deque[tuple[int, trio.Event]] = field(default_factory=deque)
    """Bytes, and what is set when it is their turn."""


class Pace:
    """Payload bytes a second, 0 for no limit."""

    def __init__(self, bytes_s: float) -> None:
        """Start full."""
        self.bytes_s = bytes_s
        self._free_at_s = 0.0
        self._virtual = 0.0
        self._epoch = 0
        self._busy = False
        self._flows: dict[Flow, None] = {}  # with somebody waiting; served last at the end

    @property
    def spare(self) -> bool:
        """Whether more could leave now."""
        return not self._busy and self._free_at_s <= trio.current_time()

    def weigh(self, flow: Flow, weight: float) -> None:
        """Change a flow's part; what it has had counts by the new one, too."""
        behind = self._start_of(flow) - self._virtual
        flow.finish = self._virtual + behind * flow.weight / weight
        flow.weight = weight

    async def take(self, size_bytes: int, flow: Flow) -> None:
        """Wait until so many bytes may leave."""
        if not self.bytes_s:
            return
        if self._busy:
            await self._turn(size_bytes, flow)
        else:
            self._busy = True
            self._begin(size_bytes, flow)
        try:
            now_s = trio.current_time()
            begin_s = max(self._free_at_s, now_s - _BURST_S)
            if begin_s > now_s:
                await trio.sleep_until(begin_s)
            self._free_at_s = begin_s + size_bytes / self.bytes_s
        finally:
            self._pass_on()

    async def _turn(self, size_bytes: int, flow: Flow) -> None:
        entry = size_bytes, trio.Event()
        flow.waiting.append(entry)
        self._flows.setdefault(flow)
        try:
            await entry[1].wait()
        except trio.Cancelled:
            if entry[1].is_set():  # in the same moment: it is the next one's
                self._pass_on()
            else:
                flow.waiting.remove(entry)
                if not flow.waiting:
                    del self._flows[flow]
            raise

    def _pass_on(self) -> None:
        if not self._flows:
            self._busy = False
            return
        flow = min(self._flows, key=self._start_of)
        del self._flows[flow]
        size_bytes, turn = flow.waiting.popleft()
        if flow.waiting:
            self._flows[flow] = None
        self._begin(size_bytes, flow)
        turn.set()

    def _begin(self, size_bytes: int, flow: Flow) -> None:
        self._virtual = self._start_of(flow)
        if self._virtual > _EPOCH:
            self._begin_epoch()
        flow.epoch = self._epoch
        flow.finish = self._virtual + size_bytes / flow.weight

    def _start_of(self, flow: Flow) -> float:
        """Virtual time at which a flow may have its turn."""
        if flow.epoch != self._epoch:
            flow.epoch, flow.finish = self._epoch, 0.0
        return max(self._virtual, flow.finish)

    def _begin_epoch(self) -> None:
        for flow in self._flows:
            flow.finish = self._start_of(flow) - self._virtual
            flow.epoch = self._epoch + 1
        self._epoch += 1
        self._virtual = 0.0
