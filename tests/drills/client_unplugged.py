"""A client whose network is unplugged in mid-download: `python -m tests.drills.client_unplugged`.

In a network namespace of its own, as root: its only link goes down while an album comes from a real
seeder, stays down, and comes up again. The same process must then complete the album by itself,
and little may have come twice.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import trio

from tests.integration.client.market import market
from tests.integration.client.rig import HOST

_INSIDE = "ALBUMSWARM_DRILL_INSIDE"
_TRACK_BYTES = 1_500_000
_LINE_BYTES_S = 1_000_000
_UNPLUGGED_AT = 0.3  # of the album
_PATIENCE_S = 120.0


async def drill(folder: Path, down_s: float) -> str:
    """Run it inside the namespace. AssertionError tells what did not hold."""
    _link("up")
    sizes = {f"{track:02}.flac": _TRACK_BYTES for track in range(2)}
    total = sum(sizes.values())
    async with market(folder / "market", [sizes], upload_bytes_s=_LINE_BYTES_S) as shop:
        (folder / "ca.pem").write_text(shop.shop.album.pki.ca_pem)
        command = [
            *(sys.executable, "-m", "client_lib", "get", "--all", "--json"),
            *("--into", str(folder / "music"), "--data", str(folder / "data")),
            *("--licensing-url", shop.server.url, "--licensing-ca", str(folder / "ca.pem")),
            *("--listen-host", HOST),
        ]
        process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        plugged_at, finished_at, pending = 0.0, 0.0, b""
        with trio.fail_after(down_s + _PATIENCE_S):
            async for chunk in process.stdout:
                *lines, pending = (pending + chunk).split(b"\n")
                for event in map(json.loads, lines):
                    if event["event"] == "finished":
                        assert plugged_at, "it was complete before it was unplugged"
                        finished_at = trio.current_time()
                    come = event.get("verified_bytes", 0)
                    if not plugged_at and come > _UNPLUGGED_AT * total:
                        _link("down")
                        await trio.sleep(down_s)  # that is the drill
                        _link("up")
                        plugged_at = trio.current_time()
            await process.wait()
        assert process.returncode == 0, f"exit code {process.returncode}"
        sent = sum(torrent.status().uploaded_bytes for torrent in shop.torrents)
        album = shop.albums[0].folder
        for name in sizes:
            (copy,) = folder.glob(f"music/Artist/*/{name}")
            assert copy.read_bytes() == (album / name).read_bytes(), f"{name} is wrong"
        assert sent <= 1.2 * total, f"{sent / total:.3f} x downloaded"
    return (
        f"unplugged for {down_s:g} s: complete {finished_at - plugged_at:.1f} s after that, "
        f"{sent / total:.3f} x downloaded, every byte right"
    )


def _link(state: str) -> None:
    subprocess.run(["ip", "link", "set", "lo", state], check=True)


def main() -> None:
    """Run the drill in a namespace and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="without a link")
    options = parser.parse_args()
    if _INSIDE not in os.environ:
        command = ["unshare", "--net", sys.executable, "-m", "tests.drills.client_unplugged"]
        environment = os.environ | {_INSIDE: "1"}
        done = subprocess.run([*command, *sys.argv[1:]], env=environment, check=False)
        sys.exit(done.returncode)
    with tempfile.TemporaryDirectory() as folder:
        print(trio.run(drill, Path(folder), options.seconds))  # noqa: T201


if __name__ == "__main__":
    main()
