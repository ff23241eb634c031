"""albumswarm's client library: redeem a purchase, join its sealed swarm, get the album."""

__version__ = "0.1.0"
