"""Functions that corrupt the bytes of a file."""

import struct
import zlib
from collections.abc import Sequence

from numpy.random import Generator

PNG = b"\x89PNG\r\n\x1a\n"
# Sizes, counts and offsets at which arithmetic goes wrong.
NUMBERS = (
    0,
    1,
    2,
    3,
    127,
    128,
    255,
    256,
    32767,
    32768,
    65535,
    65536,
    20_000,
    50_000,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
    2**64 - 1,
)


def corrupted(data: bytes, rng: Generator, others: Sequence[bytes]) -> bytes:
    """Return `data` after one to three random mutations; pieces of the files `others` may be inserted."""
    for _ in range(int(rng.integers(1, 4))):
        mutation = MUTATIONS[int(rng.integers(len(MUTATIONS)))]
        data = mutation(data, rng, others)
    if data.startswith(PNG) and rng.random() < 0.6:  # else hardly any would pass the checksums
        data = _with_png_checksums(data)
    return data


def _place(data: bytes, rng: Generator) -> int:
    """Return a position, half of the time in the header, where formats store their sizes."""
    reach = min(len(data), 96) if rng.random() < 0.5 else len(data)
    return int(rng.integers(reach + 1))


def _flip(data, rng, others):
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 9)) if data else 0):
        changed[min(_place(data, rng), len(data) - 1)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _overwrite(data, rng, others):
    start, length = _place(data, rng), int(rng.integers(1, 40))
    values = (bytes(length), b"\xff" * length, rng.bytes(length))[int(rng.integers(3))]
    return data[:start] + values + data[start + length :]


def _number(data, rng, others):
    size, order = "BHIQ"[int(rng.integers(4))], "<>"[int(rng.integers(2))]
    start, value = _place(data, rng), NUMBERS[int(rng.integers(len(NUMBERS)))]
    number = struct.pack(order + size, value % 2 ** (8 * struct.calcsize(size)))
    return data[:start] + number + data[start + len(number) :]


def _cut(data, rng, others):
    return data[: _place(data, rng)]


def _drop(data, rng, others):
    start = _place(data, rng)
    return data[:start] + data[start + int(rng.integers(1, 200)) :]


def _double(data, rng, others):
    start = _place(data, rng)
    piece = data[start : start + int(rng.integers(1, 400))]
    return data[:start] + piece * int(rng.integers(2, 5)) + data[start + len(piece) :]


def _insert(data, rng, others):
    start = _place(data, rng)
    return data[:start] + rng.bytes(int(rng.integers(1, 40))) + data[start:]


def _append(data, rng, others):
    return data + rng.bytes(int(rng.integers(1, 300)))


def _splice(data, rng, others):
    """Join the head of one file and the tail of another."""
    other = others[int(rng.integers(len(others)))]
    return data[: _place(data, rng)] + other[_place(other, rng) :]


MUTATIONS = (_flip, _flip, _flip, _overwrite, _number, _number, _cut, _drop, _double, _insert, _append, _splice)


def _with_png_checksums(data: bytes) -> bytes:
    """Return the PNG file with the correct checksum of every chunk."""
    place, repaired = len(PNG), bytearray(data)
    while place + 12 <= len(data):
        end = place + 8 + int.from_bytes(data[place : place + 4], "big")
        if end + 4 > len(data):
            break
        repaired[end : end + 4] = zlib.crc32(data[place + 4 : end]).to_bytes(4, "big")
        place = end + 4
    return bytes(repaired)
