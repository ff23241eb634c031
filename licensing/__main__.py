"""`albumswarm-licensing`: the command line of the licensing service."""

from functools import partial

from client_lib.console import run_app
from licensing.cli import keys, revocation, service, tokens
from licensing.cli.root import app

__all__ = ["app", "keys", "main", "revocation", "service", "tokens"]

main = partial(run_app, app)

if __name__ == "__main__":
    main()
