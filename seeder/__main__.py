"""`albumswarm-seeder`: the command line."""

from functools import partial

from client_lib.console import run_app
from seeder.cli import drain, publish, serve, status
from seeder.cli.root import app

__all__ = ["app", "drain", "main", "publish", "serve", "status"]

main = partial(run_app, app)

if __name__ == "__main__":
    main()
