"""A client that announces regularly: what the tracker found out when it first did."""

import struct

from client_lib.wire.infohash import TruncatedInfoHash
from tracker.accounting.sessions import Session
from tracker.serving.familiar import Familiar
from tracker.swarms.peers import ClientTag, Family, Standing
from tracker.swarms.pool import Pool
from tracker.swarms.swarm import Swarm
from tracker.trust.admission import Member

OWN = struct.Struct("<d8sH10s")
"""End of the certificate (POSIX seconds), client tag, bucket and tag of the session."""


class Regular(Familiar, gc=False, kw_only=True):
    """One client in one swarm. Its next announce is judged and answered from here.

    Whatever may have changed since is looked at anew: time, revocation, its place in the swarm.

    What is the client's alone is in one object, packed: every other object is a line of memory
    that is in no cache, because the announce before was half an hour ago. The objects that are
    shared with others (swarm, pool, small numbers) are looked at all the time.
    """

    own: bytes
    """`OWN`, then compact address and port."""
    member: Member
    """Looked at when something has to be said of it."""
    roaming: bool
    """Whether the member may be in any swarm."""
    cleared_by: object
    """The version of the revocations that was last asked about the member."""
    info_hash: TruncatedInfoHash
    """The very object of the first in its swarm."""
    family: Family
    want: int
    """So many peers at most."""
    kind: int
    """Peers of one kind have the same plan: `Answers.kind`."""
    swarm: Swarm
    standing: Standing
    pool: Pool
    """With `index` and `slot`, its place: good while the pool `holds` the client there."""
    index: int
    slot: bytes

    @property
    def address(self) -> bytes:
        """Packed, 4 or 16 bytes."""
        return self.own[OWN.size : -2]


def packed_own(not_after_s: float, client: ClientTag, session: Session, entry: bytes) -> bytes:
    """`Regular.own`."""
    return OWN.pack(not_after_s, client, *session) + entry
