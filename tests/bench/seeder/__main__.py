"""`make bench-seeder`: loading, publishing and serving, each against what others do.

- **loading**: releases of 400 pieces, without payload, loaded by the shelf in a fresh process;
  against libtorrent, which starts each of them as a seed.
- **publishing**: against `openssl dgst -sha256` on the same files, cached, one process a core; a
  new album against `cp`, `sync` and `openssl`, too.
- **serving**: payload per CPU second of the peer port, for a libtorrent customer on the other core,
  against nginx over mutual TLS, for curl. Certificates are of one kind (P-256), TLS 1.3.
"""

import argparse
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.bench.report import Figure, figure, publish
from tests.bench.seeder.loading import loaded
from tests.bench.seeder.publishing import Speed, hashed_by_openssl, make_album, published
from tests.bench.seeder.serving import Rig

PIECES = 400


def main() -> None:
    """Take turns, print the table, write build/bench/seeder.json."""
    parser = argparse.ArgumentParser(prog="bench-seeder", description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--releases", type=int, default=2_000)
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--only", choices=("loading", "publishing", "serving"))
    options = parser.parse_args()
    parts = {
        "loading": partial(_loading, runs=options.runs, releases=options.releases),
        "publishing": partial(_publishing, runs=options.runs, megabytes=options.megabytes),
        "serving": partial(_serving, runs=options.runs, megabytes=options.megabytes),
    }
    with tempfile.TemporaryDirectory(prefix="bench-seeder-") as folder:
        root = Path(folder)
        figures = [
            each
            for part, measure in parts.items()
            if options.only in (None, part)
            for each in measure(root / part)
        ]
    publish("seeder", figures, against="peer")


def _loading(root: Path, runs: int, releases: int) -> list[Figure]:
    ours, theirs = [], []
    for _ in range(runs):
        ours.append(loaded(root, releases, PIECES))
        theirs.append(loaded(root, releases, PIECES, by_libtorrent=True))
    return [
        figure(
            what,
            [each[key] * scale for each in ours],
            unit,
            against=[each[key] * scale for each in theirs],
        )
        for what, key, scale, unit in (
            ("memory per loaded release", "bytes", 1e-3, "kB"),
            ("loads", "loads_s", 1, "1/s"),
            ("loads by CPU time", "loads_cpu_s", 1, "1/s"),
        )
    ]


def _publishing(root: Path, runs: int, megabytes: int) -> list[Figure]:
    album = make_album(root / "album", megabytes)
    openssl: list[Speed] = []
    copying: list[Speed] = []
    first: list[Speed] = []
    once: list[Speed] = []
    again: list[Speed] = []
    writers: list[tuple[list[Speed], Callable[[Path, Path], Speed]]] = [
        (copying, hashed_by_openssl),
        (first, published),
        (once, partial(published, checksums=False)),
    ]
    for number in range(runs):
        openssl.append(hashed_by_openssl(album))
        again.append(published(album, root / "again", again=True))
        # In turn: memory that was not used for a while costs whoever writes last kernel time.
        turn = number % len(writers)
        for speeds, write in writers[turn:] + writers[:turn]:
            speeds.append(write(album, root / "copy"))
            shutil.rmtree(root / "copy")
        for folder in root.iterdir():
            if folder != album:
                shutil.rmtree(folder)
    return [
        figure(
            f"publish, {what}, per core used ({kind})",
            [getattr(each, field) for each in ours],
            "MB/s",
            against=[getattr(each, field) for each in theirs],
        )
        for what, ours, theirs in (
            ("again", again, openssl),
            ("new", first, openssl),
            ("new, against cp and sync too", first, copying),
            ("new without checksums, against cp and sync too", once, copying),
        )
        for kind, field in (("CPU time", "mb_cpu_s"), ("elapsed", "mb_core_s"))
    ]


def _serving(root: Path, runs: int, megabytes: int) -> list[Figure]:
    rig = Rig(root, megabytes)
    ours, nginx = [], []
    for _ in range(runs):
        ours.append(rig.by_our_node())
        nginx.append(rig.by_nginx())
    return [
        figure(
            "payload per CPU second of the server",
            [each.mb_cpu_s for each in ours],
            "MB",
            against=[each.mb_cpu_s for each in nginx],
        ),
        figure(
            "payload, elapsed",
            [each.mb_s for each in ours],
            "MB/s",
            against=[each.mb_s for each in nginx],
        ),
    ]


if __name__ == "__main__":
    main()
