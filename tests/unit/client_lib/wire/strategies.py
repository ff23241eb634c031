"""Hypothesis strategies for bencoded values and damaged bytes."""

from hypothesis import strategies as st

from client_lib.wire.bencode import Decoded

int64 = st.integers(-(1 << 63) + 1, (1 << 63) - 1)
scalars: st.SearchStrategy[Decoded] = st.one_of(int64, st.binary(max_size=40))
values: st.SearchStrategy[Decoded] = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(st.binary(max_size=6), inner, max_size=5),
    ),
    max_leaves=30,
)


@st.composite
def damaged(draw: st.DrawFn, original: bytes) -> bytes:
    """`original` cut off, with bytes changed, or with a piece removed, repeated or inserted."""
    data = bytearray(original)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(1, 40)))
        match draw(st.sampled_from(["cut", "change", "remove", "repeat", "insert"])):
            case "cut":
                del data[at:]
            case "change" if at < len(data):
                data[at] = draw(st.sampled_from(b"0123456789-:dilex") | st.integers(0, 255))
            case "remove":
                del data[at:end]
            case "repeat":
                data[at:at] = data[at:end]
            case _:
                data[at:at] = draw(st.sampled_from([b"e", b"0:", b"i0e", b"de", b"1:ai1e", b"-"]))
    return bytes(data)
