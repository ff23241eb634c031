"""`albumswarm-licensing`: the command line of the licensing service."""

from functools import partial

from client_lib.console import run_app
from licensing.cli import audit, backup, keys, revocation, royalties, service, tokens
from licensing.cli.root import app

__all__ = ["app", "audit", "backup", "keys", "main", "revocation", "royalties", "service", "tokens"]

main = partial(run_app, app)

if __name__ == "__main__":
    main()
