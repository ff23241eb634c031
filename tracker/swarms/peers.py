"""What is known about a peer: whose it is, which client, which address family, what it has."""

import enum
from typing import NewType

from client_lib.wire.announce import PeerId

Owner = NewType("Owner", bytes)
"""15 bytes that stand for one licence or one seeder: see `admission.Member`."""
ClientTag = NewType("ClientTag", bytes)
"""8 bytes that tell the clients of one owner apart."""

OWNER_BYTES = 15
"""As a Python object 48 bytes; with 16 they would be 64."""
CLIENT_BYTES = 8
MAX_PEERS_OF_OWNER = 16
"""No owner's limit may be higher: finding an owner's peers takes as many look-ups."""


class Family(enum.IntEnum):
    """Address family of an entry."""

    V4 = 0
    V6 = 1

    @classmethod
    def of(cls, address: bytes) -> "Family":
        """Family of a packed address of 4 or 16 bytes."""
        return cls.V4 if len(address) == 4 else cls.V6


class Standing(enum.IntEnum):
    """What a peer has to give."""

    LEECHER = 0
    COMPLETE = 1
    """A customer with the whole album."""
    CENTRAL = 2
    """A central seeder with the whole album."""


STANDINGS = tuple(Standing)
"""By number: seven times as fast as `Standing(number)`."""


def client_tag(peer_id: PeerId, key: bytes | None) -> ClientTag:
    """Tell one owner's clients apart: by `key` (BEP 7), otherwise by peer id.

    A key survives a change of address. Only the owner's own clients are told apart by it, so a
    clash, or a lie, costs nobody else anything.
    """
    return ClientTag((key or peer_id)[-CLIENT_BYTES:].rjust(CLIENT_BYTES, b"\0"))
