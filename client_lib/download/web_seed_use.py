"""Fetching from the store's web seeds too, while the swarm is slow."""

from collections.abc import Callable, Sequence

import trio

from client_lib.download.fallback import FallbackPolicy, FallbackTuning
from client_lib.swarm.status import Phase
from client_lib.swarm.torrent import Torrent

_SAMPLE_S = 0.5


async def use_web_seeds_while_slow(
    torrent: Torrent,
    web_seeds: Sequence[str],
    tuning: FallbackTuning,
    on_change: Callable[[bool], None],
) -> None:
    """Join the web seeds and leave them as `FallbackPolicy` says, until all is there.

    `on_change` is told whether they were joined.
    """
    policy = FallbackPolicy(tuning)
    while torrent.status().phase is not Phase.SEEDING:
        await trio.sleep(_SAMPLE_S)
        joined = policy.joined
        rates = [0, 0]
        for peer in torrent.peers():
            rates[peer.web_seed] += peer.download_rate_bytes_s
        if policy.update(trio.current_time(), *rates) is joined:
            continue
        if policy.joined:
            torrent.use_web_seeds(web_seeds)
        else:
            torrent.drop_web_seeds()
        on_change(policy.joined)
    torrent.drop_web_seeds()
