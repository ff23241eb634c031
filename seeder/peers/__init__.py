"""Customers' connections: mutual TLS, the peer wire protocol, and what they are given."""
