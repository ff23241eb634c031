"""Plays a 1 Mbit/s track in real time while the album downloads over 2 Mbit/s, with seeks.

A web seed with a line of 250 kB/s, shared by the whole download and the player. The player starts
2 seconds after each call or seek, and then takes 125 kB every second. It prints how early the
latest byte was; a byte that comes late is a stall, and the drill fails.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import trio

from tests.integration.client.streaming_rig import LINE_BYTES_S, Playing, playing

RATE_BYTES_S = 125_000
START_S = 2.0


async def play(at: Playing, seconds: float, seeks: list[int]) -> float:
    """Play for so many seconds at each position; returns the least spare time in seconds."""
    content, spare_s = at.bytes_of("05.flac"), START_S
    called_at = trio.current_time()
    async with await at.job.open_track(at.licence_id, "05.flac") as stream:
        for position in seeks:
            if position != stream.tell():
                called_at = trio.current_time()
                await stream.seek(position)
            heard = 0
            while heard < seconds * RATE_BYTES_S:
                due = called_at + START_S + heard / RATE_BYTES_S
                data = await stream.receive_some(16 << 10)
                assert data == content[position + heard :][: len(data)], "wrong bytes"
                assert data, "the track ended"
                spare_s = min(spare_s, due - trio.current_time())
                heard += len(data)
                # A player buffers half a second, and asks for more when that is played.
                await trio.sleep_until(due - 0.5)
    return spare_s


async def main(seconds: float) -> int:
    """Run the drill; the exit code."""
    sizes = {f"{number:02}.flac": 9_000_000 for number in range(1, 9)}
    with tempfile.TemporaryDirectory() as folder:
        async with playing(Path(folder), sizes=sizes, patience_s=60 + 6 * seconds) as at:
            if at.job.outcomes:
                return 1
            await trio.sleep(6)  # the whole album downloads at full speed, by libtorrent
            spare_s = await play(at, seconds, [0, 6_000_000, 3_000_000])
            print(  # noqa: T201
                f"{3 * seconds:.0f} s of 1 Mbit/s over {LINE_BYTES_S * 8 / 1e6:.0f} Mbit/s, "
                f"2 seeks: the latest byte came {spare_s:.2f} s early; "
                f"{at.verified_bytes / 1e6:.1f} MB of the album are there"
            )
    return 0 if spare_s >= 0 else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="at each of three positions")
    sys.exit(trio.run(main, parser.parse_args().seconds))
