"""Licensing: turns a store's payment tokens into licences, certificates and torrents."""
