"""A peer of a benchmark: libtorrent with the client's settings, or with its own defaults.

Prints the seconds from the common start until it was complete, then goes on giving until the stop
file appears, and writes what it sent.
"""

import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import libtorrent as lt

from client_lib.swarm.hardening import FFDHE2048_PEM, limit_every_peer, settings_pack
from client_lib.swarm.settings import SessionSettings

PORT = 6881
_PLAIN: dict[str, Any] = {
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
        pack: Any = _PLAIN | {"listen_interfaces": f"{address}:{PORT}s"}
    else:
        pack = dict(settings_pack(SessionSettings(listen_host=address, listen_port=PORT)))
        del pack["alert_mask"]
    pack["enable_ip_notifier"] = False  # in a namespace it would close the listening socket
    session = lt.session(pack)
    limit_every_peer(session)
    params = lt.load_torrent_buffer(Path(order["torrent"]).read_bytes())
    params.save_path = order["folder"]
    params.trackers = []
    params.flags &= ~lt.torrent_flags.auto_managed
    params.flags |= lt.torrent_flags.paused
    if order["complete"]:
        params.flags |= lt.torrent_flags.seed_mode
    torrent = session.add_torrent(params)
    certificate, key = (Path(order["credential"] + end).read_text() for end in (".crt", ".key"))
    torrent.set_ssl_certificate_buffer(certificate, key, FFDHE2048_PEM)
    time.sleep(max(0.0, order["start_at"] - time.time()))
    torrent.resume()
    for peer in order["peers"]:
        torrent.connect_peer((peer, PORT))
    told = bool(order["complete"])
    while not Path(order["stop"]).exists():
        if not told and torrent.status().is_seeding:
            sys.stdout.write(f"{time.time() - order['start_at']:.2f}\n")
            sys.stdout.flush()
            told = True
        time.sleep(0.05)
    Path(order["report"]).write_text(json.dumps(torrent.status().total_payload_upload))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(json.loads(sys.argv[1]))
