"""`albumswarm-seeder`: the command line."""

from functools import partial

from client_lib.console import run_app
from seeder.cli import drain, plan, publish, serve, status
from seeder.cli.root import app

__all__ = ["app", "drain", "main", "plan", "publish", "serve", "status"]

main = partial(run_app, app)

if __name__ == "__main__":
    main()
