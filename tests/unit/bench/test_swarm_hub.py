"""The wire between namespaces: what leaves at which moment, and what is dropped."""

import contextlib
import itertools
import os
import socket
from collections.abc import Iterator

import pytest

from tests.bench.swarm.hub import Uplink

_LINE_BYTES_S = 100_000.0
_DELAY_S = 0.015
_PACKET = bytes(16) + socket.inet_aton("10.9.0.2") + bytes(966)  # 1,000 bytes with Ethernet's 14


@contextlib.contextmanager
def device() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of what keeps packets apart, as a TUN device does."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        yield ours, theirs


def test_packets_arrive_in_order_at_the_rate_of_the_line_after_the_delay() -> None:
    with device() as (sender, peer), device() as (receiver, target):
        uplink = Uplink(sender.fileno(), _LINE_BYTES_S, _DELAY_S)
        for number in range(5):
            peer.send(_PACKET[:-1] + bytes([number]))
        uplink.read(100.0, {socket.inet_aton("10.9.0.2"): receiver.fileno()})
        due_s = [arrives_s for arrives_s, _, _ in uplink.under_way]
        assert due_s == pytest.approx([100.0 + 0.01 * n + _DELAY_S for n in range(1, 6)])
        uplink.deliver(due_s[0] - 0.001)
        with pytest.raises(BlockingIOError):
            target.recv(2_048)
        uplink.deliver(due_s[4])
        assert [target.recv(2_048)[-1] for _ in range(5)] == [0, 1, 2, 3, 4]


def test_a_full_queue_drops_its_tail() -> None:
    with device() as (sender, peer), device() as (receiver, _):
        uplink = Uplink(sender.fileno(), _LINE_BYTES_S, _DELAY_S)
        devices = {socket.inet_aton("10.9.0.2"): receiver.fileno()}
        for _ in range(30):
            with contextlib.suppress(BlockingIOError):
                for _ in itertools.repeat(None):
                    peer.send(_PACKET)
            uplink.read(100.0, devices)
        waits_s = uplink.free_at_s - 100.0
        assert 0.1 <= waits_s <= 0.12
        assert len(uplink.under_way) == round(waits_s / 0.01)


def test_packets_to_nobody_are_dropped() -> None:
    with device() as (sender, peer):
        uplink = Uplink(sender.fileno(), 0, _DELAY_S)
        peer.send(_PACKET)
        uplink.read(100.0, {})
        assert not uplink.under_way


def test_a_receiver_that_is_full_loses_the_packet_and_stops_nothing() -> None:
    with device() as (sender, peer), device() as (receiver, _):
        uplink = Uplink(sender.fileno(), 0, 0)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(receiver.fileno(), _PACKET)
        peer.send(_PACKET)
        uplink.read(100.0, {socket.inet_aton("10.9.0.2"): receiver.fileno()})
        uplink.deliver(100.0)
        assert not uplink.under_way
