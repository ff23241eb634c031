"""Whether a SQLite file is at fault, or the disk below it and who else uses it."""

from pysqlite3 import dbapi2

_NOT_THE_FILE = frozenset(
    {
        dbapi2.SQLITE_BUSY,
        dbapi2.SQLITE_CANTOPEN,
        dbapi2.SQLITE_FULL,
        dbapi2.SQLITE_IOERR,
        dbapi2.SQLITE_LOCKED,
        dbapi2.SQLITE_NOMEM,
        dbapi2.SQLITE_PERM,
        dbapi2.SQLITE_READONLY,
    }
)


def is_damage(error: dbapi2.Error) -> bool:
    """Whether the file is no database any more, so that a new one is the only way on."""
    if not isinstance(error, dbapi2.OperationalError):
        return type(error) is dbapi2.DatabaseError  # others are mistakes of ours
    return error.sqlite_errorcode & 0xFF not in _NOT_THE_FILE  # without the extended part
