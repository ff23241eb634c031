"""Files, padding and pieces as libtorrent counts them. Pure."""

import libtorrent as lt


def real_files(layout: lt.file_storage) -> list[int]:
    """libtorrent's indexes of the files, without the padding between them."""
    padding = lt.file_flags_t.flag_pad_file
    return [i for i in range(layout.num_files()) if not layout.file_flags(i) & padding]


def file_priorities(layout: lt.file_storage, wanted: frozenset[int] | None) -> list[int]:
    """libtorrent's priorities (4 is normal, 0 never), padding included."""
    priorities = [4] * layout.num_files()
    for number, index in enumerate(real_files(layout)):
        if wanted is not None and number not in wanted:
            priorities[index] = 0
    return priorities


def piece_lengths(layout: lt.file_storage, wanted: frozenset[int] | None) -> list[int]:
    """Payload bytes of each piece: in v2 the last one of a file is short (BEP 52).

    Pieces belong to one file each; those of files that are not wanted count as 0.
    """
    longest = layout.piece_length()
    lengths: list[int] = []
    for number, index in enumerate(real_files(layout)):
        whole, rest = divmod(layout.file_size(index), longest)
        sizes = [longest] * whole + ([rest] if rest else [])
        lengths += sizes if wanted is None or number in wanted else [0] * len(sizes)
    return lengths
