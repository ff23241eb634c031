"""The tracker as a process of its own, with a licensing in memory: mutual TLS and a plain port."""

import sys
from pathlib import Path

import trio

from client_lib.service.process import configure_logs, run_until_signalled
from client_lib.wire import certificates
from tests.integration.tracker.rig import FakeLicensing
from tests.pki import SwarmPki
from tracker.app import serve_with
from tracker.config import TrackerConfig


def main() -> None:
    """Serve with the CA in the folder of the first argument; the others are the two ports."""
    folder, tls_port, plain_port = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    key = certificates.load_key((folder / "ca-key.pem").read_text())
    licensing = FakeLicensing(SwarmPki("benchmark CA", key))
    config = TrackerConfig(
        data=Path(sys.argv[4]),
        host="127.0.0.1",
        port=tls_port,
        plain_listen=(f"127.0.0.1:{plain_port}",),
        trusted_proxies=("127.0.0.0/8",),  # the load comes from 200 addresses of loopback
        # None of the swarms stays young or has to be saved by announcing often.
        min_interval_s=300,
    )
    configure_logs()
    trio.run(run_until_signalled, lambda stop: serve_with(licensing, config, stop))


if __name__ == "__main__":
    main()
