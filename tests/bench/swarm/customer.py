"""A peer of a benchmark: libtorrent with the client's settings, or with its own defaults.

As a customer it has one release to get, and goes on giving afterwards. As plain libtorrent's seeder
it has all releases.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import libtorrent as lt

from client_lib.swarm.hardening import FFDHE2048_PEM, limit_every_peer, settings_pack
from client_lib.swarm.settings import SessionSettings
from tests.bench.swarm.process import PEER_PORT, Diary, say_ready, wait_start

_LOOKED_EVERY_S = 0.05
PLAIN: dict[str, Any] = {
    # What a sealed swarm needs, and nothing that is tuned.
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_incoming_utp": False,
    "enable_outgoing_utp": False,
    "allow_multiple_connections_per_ip": True,
}


def main(order: dict[str, Any]) -> None:
    """Take part as ordered."""
    address = order["address"]
    if order["plain"]:
        pack: Any = PLAIN | {"listen_interfaces": f"{address}:{PEER_PORT}s"}
    else:
        pack = dict(settings_pack(SessionSettings(listen_host=address, listen_port=PEER_PORT)))
        del pack["alert_mask"]
    pack["enable_ip_notifier"] = False  # in a namespace it would close the listening socket
    session = lt.session(pack)
    limit_every_peer(session)
    torrents = [_add(session, order, path) for path in order["torrents"]]
    if order["complete"]:  # a seeder is there before its customers
        _resume(torrents)
    say_ready()
    diary = Diary(order, wait_start(order))
    if not order["complete"]:
        _resume(torrents)
        for peer in order.get("peers", []):  # where there is no tracker to name them
            torrents[0].connect_peer((peer, PEER_PORT))
    while not diary.over():
        if diary.due():
            diary.note(*_moved(torrents, order))
        if diary.finished_s is None and not order["complete"] and torrents[0].status().is_seeding:
            diary.finish()
        time.sleep(_LOOKED_EVERY_S)
    diary.close(*_moved(torrents, order))


def _moved(torrents: list[lt.torrent_handle], order: dict[str, Any]) -> tuple[int, int]:
    """What a customer got and gave; what a seeder gave."""
    statuses = [torrent.status() for torrent in torrents]
    given_bytes = sum(status.total_payload_upload for status in statuses)
    if order["complete"]:
        return given_bytes, given_bytes
    return sum(status.total_payload_download for status in statuses), given_bytes


def _resume(torrents: list[lt.torrent_handle]) -> None:
    for torrent in torrents:
        torrent.resume()


def _add(session: lt.session, order: dict[str, Any], path: str) -> lt.torrent_handle:
    params = lt.load_torrent_buffer(Path(path).read_bytes())
    params.save_path = order["folder"]
    web_seeds = order.get("web_seeds", [])
    params.trackers = [order["tracker"]] if "tracker" in order and not web_seeds else []
    params.url_seeds = web_seeds
    params.flags &= ~lt.torrent_flags.auto_managed
    params.flags |= lt.torrent_flags.paused
    if order["complete"]:
        params.flags |= lt.torrent_flags.seed_mode
    torrent = session.add_torrent(params)
    certificate, key = (Path(order["credential"] + end).read_text() for end in (".crt", ".key"))
    torrent.set_ssl_certificate_buffer(certificate, key, FFDHE2048_PEM)
    return torrent


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
