"""Licensing's HTTP API: Litestar controllers, one module per noun."""
