"""HTTP/1.1 over TLS on raw trio sockets, for an ASGI application."""
