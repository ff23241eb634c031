"""`albumswarm`, also as `python -m client_lib`."""

from client_lib.cli import purchases, queue_commands
from client_lib.cli.commands import app
from client_lib.console import run_app

__all__ = ["app", "main", "purchases", "queue_commands"]


def main() -> None:
    """Run the command line."""
    run_app(app)


if __name__ == "__main__":
    main()
