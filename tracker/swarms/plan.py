"""What the answers to like peers of one swarm have in common, while nobody comes or goes."""

import msgspec

from client_lib.wire.announce_answer import ResponseForm
from tracker.swarms.handout import Counts
from tracker.swarms.pool import Pool


class Plan(msgspec.Struct, frozen=True, gc=False):
    """Worked out for the first such peer, kept by the swarm until it changes."""

    near: Counts
    """Peers of the asker's own address family that it is told about."""
    near_pools: tuple[Pool, ...]
    far: Counts | None
    """Peers of the other family; None: nobody."""
    fleet: tuple[bytes, bytes] | None
    """Central seeders of the fleet that it is told about, whether they announced or not."""
    hurried_until_s: float
    """Until then, peers shall announce at the interval of a young swarm."""
    form: ResponseForm | None
    """None: it is alone."""
    is_general: bool
    """Whether some owner has several peers here: then each owner has a plan of its own."""
