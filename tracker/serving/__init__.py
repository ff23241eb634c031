"""The front end: sockets, TLS, heads of requests, and who may stay connected."""
