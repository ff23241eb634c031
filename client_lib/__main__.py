"""`albumswarm`, also as `python -m client_lib`."""

import sys


def main() -> None:
    """Run the command line; say what is missing where only the library was installed."""
    try:
        from client_lib.cli.app import run
    except ModuleNotFoundError as error:
        if error.name not in _CLI_EXTRA:
            raise
        sys.exit("albumswarm: error: the command needs more: pip install 'albumswarm-client[cli]'")
    run()


# What the extra `cli` brings; nothing else may be missing.
_CLI_EXTRA = ("cyclopts", "rich")


if __name__ == "__main__":
    main()
