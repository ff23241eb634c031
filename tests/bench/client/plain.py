"""Plain libtorrent: one session with its own settings, which has torrents and certificates.

`python -m tests.bench.client.plain SHELF FOLDER ADDRESS` ends when every album is complete.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import libtorrent as lt

from client_lib.swarm.hardening import FFDHE2048_PEM
from tests.bench.swarm.customer import PLAIN
from tests.bench.swarm.process import PEER_PORT

_LOOKED_EVERY_S = 0.05


def main(shelf: Path, folder: Path, address: str) -> None:
    """Add everything at once, and wait."""
    pack: Any = PLAIN | {
        "listen_interfaces": f"{address}:{PEER_PORT}s",
        "alert_mask": lt.alert.category_t.storage_notification,
    }
    session = lt.session(pack)
    offer = json.loads((shelf / "offer.json").read_text())
    torrents = [_add(session, shelf, folder, name, offer["url"]) for name in offer["names"]]
    waiting = torrents
    while waiting := [torrent for torrent in waiting if not torrent.status().is_seeding]:
        time.sleep(_LOOKED_EVERY_S)
    _flush(session, torrents)
    os._exit(0)  # libtorrent 2.1.1 crashes when a session ends while it announces


def _flush(session: lt.session, torrents: Sequence[lt.torrent_handle]) -> None:
    """Wait until what was verified is written, too."""
    unwritten = len(torrents)
    for torrent in torrents:
        torrent.flush_cache()
    while unwritten > 0:
        session.wait_for_alert(1000)
        unwritten -= sum(
            isinstance(alert, lt.cache_flushed_alert) for alert in session.pop_alerts()
        )


def _add(session: lt.session, shelf: Path, folder: Path, name: str, url: str) -> lt.torrent_handle:
    params = lt.load_torrent_buffer((shelf / f"{name}.torrent").read_bytes())
    params.save_path = str(folder)
    params.trackers = [f"{url}/announce/bench"]
    params.flags &= ~lt.torrent_flags.auto_managed  # it would have three at a time
    params.flags |= lt.torrent_flags.paused
    torrent = session.add_torrent(params)
    certificate, key = ((shelf / f"{name}{end}").read_text() for end in (".crt", ".key"))
    torrent.set_ssl_certificate_buffer(certificate, key, FFDHE2048_PEM)
    torrent.resume()
    return torrent


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
