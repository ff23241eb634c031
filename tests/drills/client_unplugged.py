"""A client whose network is unplugged in mid-download: `python -m tests.drills.client_unplugged`.

In a network namespace of its own, as root: its only link goes down while an album comes from a
node, stays down, and comes up again. Licensing, tracker, node and client are real processes, and
nobody is told. The client must then complete the album by itself, and little may have come twice.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import trio

from docs.demo.customers import buy
from docs.demo.services import open_network
from tests.system.shop import RELEASE, digests, getting, publish, write_album

_INSIDE = "ALBUMSWARM_DRILL_INSIDE"
_TRACKS = 2
_LINE_BYTES_S = 1_000_000
_UNPLUGGED_AT = 0.3  # of the album
_MOST_TWICE = 1.05
_PATIENCE_S = 120.0


async def drill(folder: Path, down_s: float, album_bytes: int) -> str:
    """Run it inside the namespace. AssertionError tells what did not hold."""
    _link("up")
    sizes = {f"{track:02}.flac": album_bytes // _TRACKS for track in range(_TRACKS)}
    album = write_album(folder / "album", sizes)
    async with open_network(folder / "net", seeder_upload_bytes_s=_LINE_BYTES_S) as network:
        await publish(network, album)
        customer = await buy(network, "alice", RELEASE)
        with trio.fail_after(down_s + _PATIENCE_S):
            async with getting(customer) as get:
                await get.wait_event("progress", at_least=int(_UNPLUGGED_AT * album_bytes))
                _link("down")
                await trio.sleep(down_s)  # that is the drill
                assert not any(event["event"] == "finished" for event in get.events)
                _link("up")
                plugged_at = trio.current_time()
                finished = await get.wait_event("finished")
                took_s = trio.current_time() - plugged_at
        share = get.downloaded_bytes / album_bytes
    assert digests(Path(finished["folder"])) == digests(album)
    assert share <= _MOST_TWICE, f"{share:.3f} x downloaded"
    return (
        f"unplugged for {down_s:g} s: complete {took_s:.1f} s after that, "
        f"{share:.3f} x downloaded, every byte right"
    )


def _link(state: str) -> None:
    subprocess.run(["ip", "link", "set", "lo", state], check=True)


def main() -> None:
    """Run the drill in a namespace and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="without a link")
    parser.add_argument("--megabytes", type=int, default=12, help="of the album")
    options = parser.parse_args()
    if _INSIDE not in os.environ:
        command = ["unshare", "--net", sys.executable, "-m", "tests.drills.client_unplugged"]
        environment = os.environ | {_INSIDE: "1"}
        done = subprocess.run([*command, *sys.argv[1:]], env=environment, check=False)
        sys.exit(done.returncode)
    with tempfile.TemporaryDirectory() as folder:
        album_bytes = options.megabytes * 1_000_000
        print(trio.run(drill, Path(folder), options.seconds, album_bytes))  # noqa: T201


if __name__ == "__main__":
    main()
