"""The web seed: a release's files over HTTPS, for customers whose network blocks BitTorrent."""
