"""The only importer of libtorrent: hardened sessions, sealed torrents, alerts as values."""
