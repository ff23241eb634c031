from client_lib.swarm.seams import seams

KIB = 1 << 10


def test_a_whole_piece_but_for_a_bit_is_a_seam() -> None:
    whole = 64 * KIB
    lengths = [whole, whole - 1, whole - 16 * KIB + 1, whole - 16 * KIB, 5, whole, whole - 1]
    assert seams(lengths, whole) == {1, 2}


def test_in_pieces_of_one_block_every_short_one_but_the_last_is_a_seam() -> None:
    assert seams([5, 16 * KIB, 16 * KIB - 1, 7], 16 * KIB) == {0, 2}
