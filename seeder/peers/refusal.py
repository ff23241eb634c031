"""Why a connection never became a customer's."""

import enum


class Refusal(enum.StrEnum):
    """As metrics and status name it."""

    NO_ROOM = "no-room"
    """There are `max_connections` already."""
    TLS = "tls"
    """No TLS, or no certificate by this network's CA."""
    SILENT = "silent"
    """Took too long over its handshakes."""
    UNKNOWN_RELEASE = "unknown-release"
    """Asks for a swarm that is not in the catalogue or the origin."""
    UNAVAILABLE = "unavailable"
    """Its release cannot be read just now."""
    OTHER_RELEASE = "other-release"
    """The certificate is no licence, or one for another release."""
    REVOKED = "revoked"
    """The licence was revoked."""
    EXPIRED = "expired"
    """The certificate has ended."""
    DRAINING = "draining"
    """The node is leaving, and this is a new customer."""
    PROTOCOL = "protocol"
    """Let in, but spoke something else than the peer protocol."""
