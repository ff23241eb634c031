"""A client that announces regularly: what the tracker found out when it first did."""

from client_lib.wire.infohash import TruncatedInfoHash
from tracker.accounting.sessions import Session
from tracker.serving.familiar import Familiar
from tracker.swarms.swarm import Place
from tracker.trust.admission import Member


class Regular(Familiar, gc=False, kw_only=True):
    """One client in one swarm. Its next announce is judged and answered from here.

    Whatever may have changed since is looked at anew: time, revocation, its place in the swarm.
    """

    member: Member
    info_hash: TruncatedInfoHash
    address: bytes
    """Packed, 4 or 16 bytes."""
    want: int
    """So many peers at most."""
    place: Place
    session: Session
