"""A client that announces regularly: what the tracker found out when it first did."""

from client_lib.wire.infohash import TruncatedInfoHash
from tracker.accounting.sessions import Session
from tracker.serving.familiar import Familiar
from tracker.swarms.peers import ClientTag, Family, Standing
from tracker.swarms.pool import Pool
from tracker.swarms.swarm import Swarm
from tracker.trust.admission import Member


class Regular(Familiar, gc=False, kw_only=True):
    """One client in one swarm. Its next announce is judged and answered from here.

    Whatever may have changed since is looked at anew: time, revocation, its place in the swarm. In
    one record, because what is in another one is a line of memory that is in no cache: the next
    announce is half an hour away.
    """

    member: Member
    not_after_s: float
    """The member's."""
    roaming: bool
    """Whether the member may be in any swarm."""
    cleared_by: object
    """The version of the revocations that was last asked about the member."""
    info_hash: TruncatedInfoHash
    """The very object of the first in its swarm."""
    entry: bytes
    """Compact address and port."""
    family: Family
    want: int
    """So many peers at most."""
    kind: int
    """Peers of one kind have the same plan: `Answers.kind`."""
    session: Session
    swarm: Swarm
    standing: Standing
    client: ClientTag
    pool: Pool
    """With `index` and `slot`, its place: good while the pool `holds` it there."""
    index: int
    slot: bytes

    @property
    def address(self) -> bytes:
        """Packed, 4 or 16 bytes."""
        return self.entry[:-2]
