"""`make bench-client`: one large album and many small ones, against plain libtorrent and curl.

The client is `albumswarm get` as a process, with everything that it does: licences, certificates,
torrents, queue, resume points. Plain libtorrent is one session with its own settings that has
torrents and certificates, and no queue: it adds all albums at once. Both get the same torrents from
the same node of ours. curl gets the same files from nginx, over one connection with mutual TLS.
Servers are on one core, the client on the other. `--line` makes the servers as slow as a line.
"""

import argparse
import itertools
import shutil
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.bench import report
from tests.bench.client.measuring import Cost, cost
from tests.bench.client.shelf import Content, Shelf, open_shelf
from tests.bench.report import Figure, figure, publish

_MB = 1_000_000


def main() -> None:
    """Take turns, print the table, write build/bench/client.json."""
    parser = argparse.ArgumentParser(prog="bench-client", description=__doc__)
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--megabytes", type=int, default=512, help="of the large album")
    parser.add_argument("--albums", type=int, default=200, help="of 2 MB")
    parser.add_argument("--starts", type=int, default=15, help="of `albumswarm list`")
    parser.add_argument("--no-checksums", action="store_true", help="in the torrents")
    parser.add_argument("--line", type=int, default=0, help="of the node and nginx, in MB/s")
    parser.add_argument("--only", choices=("large", "small"))
    parser.add_argument("--into", type=Path, default=report.FOLDER, help="folder of the figures")
    chosen = parser.parse_args()
    figures: list[Figure] = []
    rates: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-client-") as folder:
        root = Path(folder)
        for part, number, albums, megabytes in (
            ("large", 2, 1, chosen.megabytes),
            ("small", 3, chosen.albums, 2),
        ):
            if chosen.only in (None, part):
                line_bytes_s = chosen.line * _MB
                content = Content(albums, megabytes * _MB, not chosen.no_checksums, line_bytes_s)
                with open_shelf(root / part, f"127.78.0.{number}", content) as shelf:
                    told, rates[part] = _downloads(shelf, root / "here", part, chosen.runs)
                    figures += told
                    if part == "small":
                        figures += _starts(shelf, root / "device", chosen.starts, chosen.runs)
    if len(rates) == 2:
        figures.append(figure("small albums: rate", rates["small"], "MB/s", against=rates["large"]))
    publish("client", figures, against="peer", folder=chosen.into)


def _downloads(shelf: Shelf, here: Path, part: str, runs: int) -> tuple[list[Figure], list[float]]:
    """Everything on the shelf, so many times by each; also our rates in MB/s."""
    peers: dict[str, Callable[[Path], Cost]] = {
        "albumswarm": shelf.get,
        "plain libtorrent": shelf.by_plain_libtorrent,
    }
    if shutil.which("nginx") and shutil.which("curl"):
        peers["curl"] = shelf.by_curl
    costs: dict[str, list[Cost]] = {who: [] for who in peers}
    # In every order: whoever comes after curl had 0.3 s more of kernel time with 512 MB. A virtual
    # machine takes memory back that was free for seconds, and giving it out again costs.
    orders = itertools.cycle(itertools.permutations(peers))
    for run, order in zip(range(runs), orders, strict=False):
        for who in order:
            folder = here / f"{run} {who}"
            folder.mkdir(parents=True)
            costs[who].append(peers[who](folder))
            shelf.require_everything(folder)
            # The many files of small albums stay: ext4 without a journal looks at every inode
            # that was freed in the last minute before it takes one (1.5 s of 10 with 200 albums).
            if part == "large":
                shutil.rmtree(folder)
    shutil.rmtree(here)
    ours = costs.pop("albumswarm")
    megabytes = sum(path.stat().st_size for path in shelf.root.glob("origin/*/*")) / _MB
    told = [
        figure(
            f"{part}: {what}, against {who}",
            [getattr(each, name) for each in ours],
            unit,
            against=[getattr(each, name) for each in theirs],
        )
        for who, theirs in costs.items()
        for what, name, unit in (
            ("elapsed", "wall_s", "s"),
            ("CPU", "cpu_s", "s"),
            ("memory", "rss_mb", "MB"),
        )
    ]
    return told, [megabytes / each.wall_s for each in ours]


def _starts(shelf: Shelf, device: Path, starts: int, runs: int) -> list[Figure]:
    """What a device with many albums waits for: a list, and the last album of a long queue."""
    device.mkdir()
    *others, last = shelf.names
    shelf.get(device, *others)
    listed = shelf.command(device, "list")
    listing = [cost(listed, looked_every_s=0.001).wall_s for _ in range(starts)]
    offline = [*listed, "--offline"]
    resumed: list[Cost] = []
    for _ in range(runs):
        resumed.append(shelf.get(device))
        shelf.require_everything(device / "music")
        cost(shelf.command(device, "queue", "remove", last))
        _forget(device, shelf.names.index(last) + 1)
    return [
        figure("list of all albums", [1000 * each for each in listing], "ms"),
        figure(
            "list, offline",
            [1000 * cost(offline, looked_every_s=0.001).wall_s for _ in range(starts)],
            "ms",
        ),
        figure("queue complete but for one album: elapsed", _walls(resumed), "s"),
        Figure(
            "queue complete but for one album: CPU",
            round(statistics.median(each.cpu_s for each in resumed), 2),
            "s",
        ),
    ]


def _walls(costs: Sequence[Cost]) -> list[float]:
    return [each.wall_s for each in costs]


def _forget(device: Path, number: int) -> None:
    """Remove an album and what the device knows of it."""
    for folder in device.glob(f"music/Artist/Album {number} (*"):
        shutil.rmtree(folder)
    for record in device.glob("data/licences/*/torrent*"):
        if f"rel-{number:04}.".encode() in record.read_bytes():
            shutil.rmtree(record.parent)


if __name__ == "__main__":
    main()
