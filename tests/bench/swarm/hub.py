"""The wire between namespaces where it takes time: a TUN device in each, shaping and delay here.

    python -m tests.bench.swarm.hub DELAY_MS NAMESPACE,ADDRESS,MBIT_S …

Everybody's upload is a token bucket with a drop-tail queue; what has passed it arrives after the
delay. Rate 0 is not shaped. Says `ready`, then runs until it is killed; the devices go with it.
"""

import collections
import ctypes
import fcntl
import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI, _CLONE_NEWNET = 0x400454CA, 0x0001, 0x1000, 0x40000000
_ETHERNET_BYTES = 14
"""Counted with every packet, as `tbf` does on an Ethernet: one goodput for both."""
_LONGEST_QUEUE_S = 0.1
_PACKETS_PER_TURN = 64
_LARGEST_PACKET_BYTES = 2_048
_DESTINATION = slice(16, 20)  # of an IPv4 header
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(slots=True, eq=False)
class Uplink:
    """One namespace's device, and what it has sent that is still under way."""

    device: int
    bytes_s: float
    delay_s: float
    under_way: collections.deque[tuple[float, int, bytes]] = field(
        default_factory=collections.deque
    )
    """(when it arrives, at which device, packet), in that order: the delay is the same for all."""
    free_at_s: float = 0.0

    def read(self, now_s: float, devices: dict[bytes, int]) -> None:
        """Take what was sent. Who has been waiting for too long already drops it."""
        for _ in range(_PACKETS_PER_TURN):
            try:
                packet = os.read(self.device, _LARGEST_PACKET_BYTES)
            except BlockingIOError:
                return
            target = devices.get(packet[_DESTINATION])
            waits_s = max(0.0, self.free_at_s - now_s)
            if target is None or waits_s > _LONGEST_QUEUE_S:
                continue
            begin_s = now_s + waits_s
            if self.bytes_s:
                begin_s += (len(packet) + _ETHERNET_BYTES) / self.bytes_s
            self.free_at_s = begin_s
            self.under_way.append((begin_s + self.delay_s, target, packet))

    def deliver(self, now_s: float) -> None:
        """Hand over what has arrived."""
        while self.under_way and self.under_way[0][0] <= now_s:
            _, target, packet = self.under_way.popleft()
            try:
                os.write(target, packet)
            except OSError:
                continue  # its own queue is full, or it is gone: lost, as on any line


def open_device(namespace: str, address: str) -> int:
    """Make a TUN device in a namespace. This thread stays in that namespace."""
    place = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if _libc.setns(place, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
    finally:
        os.close(place)
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", b"wan0", _IFF_TUN | _IFF_NO_PI))
    ip = ["ip", "-n", namespace]
    subprocess.run([*ip, "addr", "add", f"{address}/16", "dev", "wan0"], check=True)
    subprocess.run([*ip, "link", "set", "wan0", "up", "mtu", "1500"], check=True)
    return device


def main(delay_ms: float, ends: Sequence[str]) -> None:
    """Carry packets until killed."""
    devices: dict[bytes, int] = {}
    uplinks: dict[int, Uplink] = {}
    poll = select.epoll()
    for end in ends:
        namespace, address, mbit_s = end.split(",")
        device = open_device(namespace, address)
        devices[socket.inet_aton(address)] = device
        uplinks[device] = Uplink(device, float(mbit_s) * 1e6 / 8, delay_ms / 1e3)
        poll.register(device, select.EPOLLIN)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        due_s = min((up.under_way[0][0] for up in uplinks.values() if up.under_way), default=None)
        readable = poll.poll(None if due_s is None else max(0.0, due_s - time.monotonic()))
        now_s = time.monotonic()
        for device, _ in readable:
            uplinks[device].read(now_s, devices)
        for uplink in uplinks.values():
            uplink.deliver(now_s)


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2:])
