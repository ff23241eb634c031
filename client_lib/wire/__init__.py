"""Wire formats, sans-I/O: bytes in, frozen values out, hostile input refused."""
