"""Fetching from the store's web seeds too, while the swarm is slow."""

from collections.abc import Callable, Sequence

import trio

from client_lib.download.line.fallback import Company, FallbackPolicy, FallbackTuning
from client_lib.swarm.status import PeerStatus, Phase, TorrentStatus
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
    while (status := torrent.status()).phase is not Phase.SEEDING:
        joined = policy.joined
        if status.phase is Phase.DOWNLOADING:
            peers = torrent.peers()
            rates = [0, 0]
            for peer in peers:
                rates[peer.web_seed] += peer.download_rate_bytes_s
            swarm, web_seed = rates
            policy.update(trio.current_time(), swarm, web_seed, _company(torrent, status, peers))
        if policy.joined is not joined:
            if policy.joined:
                torrent.use_web_seeds(web_seeds)
            else:
                torrent.drop_web_seeds()
            on_change(policy.joined)
        with trio.move_on_after(_SAMPLE_S):
            await torrent.wait_turn()  # a tracker's answer, say
    torrent.drop_web_seeds()


def _company(torrent: Torrent, status: TorrentStatus, peers: Sequence[PeerStatus]) -> Company:
    if any(not peer.web_seed for peer in peers):
        return Company.PEERS
    if status.known_peers or torrent.talks_to_trackers or not torrent.trackers:
        return Company.NOBODY_MET
    return Company.NOBODY_KNOWN
