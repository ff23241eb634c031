"""The command `albumswarm`. Each command's module is loaded when that command is run."""

from client_lib import __version__
from client_lib.console import new_app, run_app

_HELP = """Get the albums you bought: redeem the store's payment token, then download.

1. `albumswarm redeem --licensing-url https://shop.example TOKEN` once a purchase;
2. `albumswarm get --all --into ~/Music` fetches whatever is not there yet, and resumes.

Exit codes: 0 ok, 1 failed, 2 usage, 3 refused (payment, licence), 4 unreachable.
"""

app = new_app("albumswarm", _HELP, __version__)
# Where each command is, and its help: the words of its docstring, for which its module would have
# to be loaded.
COMMANDS = {
    "redeem": (
        "commands:redeem",
        "Turn payment tokens into licences of this device, or prepaid credit. Safe to repeat.",
    ),
    "list": (
        "listing:list_licences",
        "Show the albums that this device may download, and which are there.",
    ),
    "get": (
        "commands:get",
        """Download albums; what an earlier run fetched is kept, whatever ended it.

Without names it goes on with the queue. Albums that were paused stay so unless named. An
album is verified, and appears below the music folder when it is whole; while `get` runs it is
given to others, too.

Example: `albumswarm get --all --into ~/Music --up 500kB`
""",
    ),
    "seed": ("commands:seed", "Give complete albums to other customers, until interrupted."),
    "verify": (
        "repairing:verify",
        """Hash albums on the disk against what was bought. Needs no network.

What is wrong is listed, and mended by `albumswarm repair`. Files beside an album's own are
listed, too; nothing touches them.
""",
    ),
    "stats": (
        "stats:stats",
        "Show what was taken and given, by album and in all. Needs no network.",
    ),
    "repair": (
        "repairing:repair",
        """Verify albums on the disk, and fetch what is missing or changed of them.

Only damaged pieces are fetched. What was only renamed, or is in another album here, is copied.
Mended files replace the damaged ones; files beside them stay as they are.
""",
    ),
    "export": (
        "exporting:export",
        """Write an album's torrent, certificate and key for another BitTorrent client.

The client must know SSL torrents, such as libtorrent or qBittorrent 5; a README is beside.
""",
    ),
    "balance": ("purchases:balance", "Show the prepaid credit that this device may spend."),
    "quote": (
        "purchases:quote",
        "Show the formats of a release, and what each costs in prepaid credit.",
    ),
    "buy": (
        "purchases:buy",
        "Buy a release with prepaid credit; then get it. What you own is not charged again.",
    ),
    "protect": (
        "protecting:protect",
        """Encrypt this device's secret and keys.

With a passphrase from `--passphrase-file`, ALBUMSWARM_PASSPHRASE or the terminal, or with one
that the system's keyring keeps. Whoever loses it has lost this device's licences.
""",
    ),
    "unprotect": ("protecting:unprotect", "Keep this device's secret and keys in the clear again."),
}
for _name, (_where, _help) in COMMANDS.items():
    app.command(f"client_lib.cli.{_where}", name=_name, help=_help)

QUEUE_COMMANDS = {
    "show": "Show the albums of the queue in order.",
    "move": "Put albums elsewhere in the queue, in the order named.",
    "pause": "Pause albums, none named: all. They keep what they have and their place.",
    "resume": "Let albums go on that were paused or have failed, none named: all.",
    "remove": "Take albums out of the queue. Complete albums stay on the disk.",
}
queue = new_app(
    "queue", "Show and change what is to be downloaded, also while `get` runs.", __version__
)
app.command(queue)
for _name, _help in QUEUE_COMMANDS.items():
    queue.command(f"client_lib.cli.queue_commands:{_name}", name=_name, help=_help)


def run() -> None:
    """Run the command line and exit."""
    run_app(app)
