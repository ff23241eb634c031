"""Serve as a node of the fleet."""

import datetime as dt
import random
from typing import Literal

import trio

from client_lib.service.process import configure_logs, run_until_signalled
from seeder import app as service
from seeder.cli.root import (
    NO_COMMON,
    NO_LICENSING,
    CommonOptions,
    LicensingOptions,
    app,
    configured,
)


@app.command(name="serve")
async def serve_command(
    *,
    tracker: tuple[str, ...] = (),
    port: int | None = None,
    web_seed_port: int | None = None,
    listen_host: str | None = None,
    upload_limit: str | None = None,
    policy: Literal["thrifty", "balanced", "fast"] | None = None,
    min_rate: str | None = None,
    poll_s: float | None = None,
    metrics_listen: str | None = None,
    common: CommonOptions = NO_COMMON,
    licensing: LicensingOptions = NO_LICENSING,
) -> None:
    """Serve every published release that is in the origin, until SIGTERM.

    A release is loaded when the first customer asks for it, so that the catalogue may be as large
    as it likes.

    Parameters
    ----------
    tracker
        Base URL of a tracker, https://host:port; may be given several times.
    port
        Port for peers, 6881 by default; 0 takes any free one.
    web_seed_port
        Port of an HTTPS web seed for customers whose network blocks BitTorrent; none without it.
        The API key needs the web seed's host names. 0 takes any free port.
    listen_host
        Listen on this address only.
    upload_limit
        Upload limit of the node in bytes/s, such as 16MB; 0 for none.
    policy
        thrifty gives each piece once and lets the customers do the rest; fast gives all that the
        line carries; balanced, the default, lies between.
    min_rate
        No customer shall gain less while there is capacity, such as 100kB (bytes/s).
    poll_s
        Seconds between two looks at the catalogue.
    metrics_listen
        host:port on loopback for Prometheus' /metrics; none by default.
    """
    config = configured(
        common,
        licensing,
        trackers=tracker or None,
        port=port,
        web_seed_port=web_seed_port,
        listen_host=listen_host,
        upload_limit=upload_limit,
        policy=policy,
        min_rate=min_rate,
        poll_s=poll_s,
        metrics_listen=metrics_listen,
    )
    configure_logs()

    async def serve(stop: trio.Event) -> None:
        await service.serve(
            config, stop, clock=lambda: dt.datetime.now(dt.UTC), rng=random.SystemRandom()
        )

    await run_until_signalled(serve)
