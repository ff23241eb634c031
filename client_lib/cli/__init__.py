"""The `albumswarm` command: redeem, list, get, verify, seed."""
