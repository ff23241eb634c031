"""What our programs say to each other where BitTorrent leaves the words free."""

PEER_ID_CUSTOMER = "-AW0100-"
PEER_ID_SEEDER = "-AS0100-"
"""Peer id prefixes (BEP 20). They are for display; what a peer may do follows from certificates."""

NO_SOURCE = "no-source: "
"""How the failure reason of an admitted announce begins that found nobody: wait, and come back."""
