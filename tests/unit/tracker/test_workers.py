from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from client_lib.errors import ConfigError
from tracker.config import TrackerConfig
from tracker.workers import received_config, restart_wait_s, told


def test_who_keeps_dying_is_started_less_and_less_often_and_who_served_at_once_again() -> None:
    waits: list[float] = []
    wait_s = None
    for _ in range(10):
        wait_s = restart_wait_s(wait_s, served_s=0.1)
        waits.append(wait_s)
    assert waits == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30]
    assert restart_wait_s(wait_s, served_s=10) == 0.2


@given(st.one_of(st.none(), st.floats(0.2, 30)), st.floats(0, 1e6))
def test_no_wait_is_too_short_or_too_long(previous_s: float | None, served_s: float) -> None:
    assert 0.2 <= restart_wait_s(previous_s, served_s) <= 30


async def test_a_worker_is_told_all_of_its_configuration() -> None:
    config = TrackerConfig(
        data=Path("tracker-data/worker-1"),
        api_key_file=Path("schlüssel \n.key"),
        plain_listen=("unix:/run/tracker-1.sock",),
        price_per_gb=0.02,
    )
    send, receive = trio.testing.memory_stream_one_way_pair()
    line = told(config)
    for start in range(0, len(line), 100):
        await send.send_all(line[start : start + 100])
    assert await received_config(receive) == config


@pytest.mark.parametrize(
    "said", [b"", b"\n", b"{\n", b"[1]\n", b'{"prot": 1}\n', b'{"port": -1}\n']
)
async def test_what_is_no_configuration_starts_no_worker(said: bytes) -> None:
    send, receive = trio.testing.memory_stream_one_way_pair()
    await send.send_all(said)
    await send.aclose()
    with pytest.raises(ConfigError, match="not started by hand"):
        await received_config(receive)
