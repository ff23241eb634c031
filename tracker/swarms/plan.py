"""What the answers to like peers of one swarm have in common, while nobody comes or goes."""

import msgspec

from client_lib.wire.announce import ResponseForm
from tracker.swarms.handout import Mix


class Plan(msgspec.Struct, frozen=True, gc=False):
    """Worked out for the first such peer (2 µs), kept by the swarm until it changes."""

    near: Mix
    """Peers of the asker's own address family that it is told about."""
    far: Mix
    """Peers of the other family."""
    fleet: tuple[bytes, bytes] | None
    """Central seeders of the fleet that it is told about, whether they announced or not."""
    hurried_until_s: float
    """Until then, peers shall announce at the interval of a young swarm."""
    form: ResponseForm | None
    """None: it is alone."""
