"""Sums over ranges of rows, each rounded once: whatever the order of the rows, and whatever stands outside the range.

So a window has the same sum, to the last bit, wherever its rows lie in a table, and where they are added up one by one
(`math.fsum`). Each value is taken apart into whole digits of 32 bits, whose running sums are exact, and so are their
differences; what a range gives is rounded to the nearest float, half to even. (A superaccumulator; Neal, "Fast exact
summation using small and large superaccumulators", 2015.)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
_Whole = NDArray[np.int64]
_Marks = NDArray[np.bool_]

_DIGIT = 32  # bits
_MASK = (1 << _DIGIT) - 1
_MANTISSA = 53  # bits of a float
_WORD = 62  # bits that a sum of whole numbers may take in 64


def sum_ranges(values: Floats, starts: Places, ends: Places) -> Floats:
    """Sums of finite values `[N]`, as a float that is not finite where a sum is too large.

    Args:
        values: the rows.
        starts: `[K, Q]`, the first row of each of the K pieces that a range consists of.
        ends: `[K, Q]`, the row after the last; a piece that ends before it begins is empty.

    Returns:
        `[Q]`; 0 for a range of no rows.
    """
    whole, places = _take_apart(values)
    used = whole != 0
    if not used.any():
        return np.zeros(starts.shape[1])
    lowest = int(places[used].min())
    shifts = np.where(used, places - lowest, 0)
    bits = _count_bits(np.abs(whole))
    if int((bits + shifts).max()) + len(values).bit_length() <= _WORD:
        return _scale(_sum_whole(whole << shifts, starts, ends).astype(np.float64), np.int64(lowest))
    digits = [_sum_whole(digit, starts, ends) for digit in _split(whole, shifts)]
    return _round(digits, lowest)


def count_ranges(marks: _Marks, starts: Places, ends: Places) -> Floats:
    """How many of the marks `[N]` are true in each range `[Q]`; arguments as in `sum_ranges`."""
    return _sum_whole(marks.astype(np.int64), starts, ends).astype(np.float64)


def cut_out(starts: Places, ends: Places, places: Places) -> tuple[Places, Places]:
    """Ranges without some of their rows.

    Args:
        starts: `[Q]`.
        ends: `[Q]`.
        places: `[K, Q]`, rows that are taken out; one that does not lie in its range takes nothing out.

    Returns:
        Starts and ends, `[K + 1, Q]` each, of the pieces of each range; some may be empty.
    """
    inside = (places >= starts) & (places < ends)
    cuts = np.sort(np.where(inside, places, ends), axis=0)
    return np.vstack([starts[None], cuts + 1]), np.vstack([cuts, ends[None]])


# --- whole numbers ------------------------------------------------------------------------------------


def _take_apart(values: Floats) -> tuple[_Whole, _Whole]:
    """Odd whole numbers `w` and exponents `e`, so that a value is `w * 2^e`."""
    fractions, exponents = np.frexp(values)
    whole = (fractions * (1 << _MANTISSA)).astype(np.int64)
    zeros = np.maximum(_count_bits(whole & -whole) - 1, 0)
    return whole >> zeros, exponents.astype(np.int64) - _MANTISSA + zeros


def _count_bits(numbers: _Whole) -> _Whole:
    """Of numbers from 0 to 2^53, which a float holds."""
    return np.frexp(numbers.astype(np.float64))[1].astype(np.int64)


def _split(whole: _Whole, shifts: _Whole) -> Iterator[_Whole]:
    """The digits of `whole * 2^shifts`, each with the number's sign, from the lowest on."""
    first, rest = shifts // _DIGIT, (shifts % _DIGIT).astype(np.uint64)
    sign, size = np.sign(whole), np.abs(whole).astype(np.uint64)
    mask, digit = np.uint64(_MASK), np.uint64(_DIGIT)
    low = (size & mask) << rest
    high = ((size >> digit) << rest) + (low >> digit)
    parts = [sign * part.astype(np.int64) for part in (low & mask, high & mask, high >> digit)]
    for place in range(int(first.max()) + len(parts)):
        yield np.select([first + index == place for index in range(len(parts))], parts, default=0)


def _sum_whole(numbers: _Whole, starts: Places, ends: Places) -> _Whole:
    running = np.concatenate([[0], np.cumsum(numbers)])
    pieces: _Whole = running[ends] - running[np.minimum(starts, ends)]
    total: _Whole = np.add.reduce(pieces, axis=0)
    return total


# --- rounding -----------------------------------------------------------------------------------------


def _round(digits: list[_Whole], lowest: int) -> Floats:
    """The floats nearest to sums of digits, which may be of any size and sign: `sum(d[i] * 2^(32 i + lowest))`."""
    sign = np.where(_carry(digits)[-1] < 0, -1, 1)
    carried = np.stack(_carry([digit * sign for digit in digits])).astype(np.uint64)
    carried = np.concatenate([np.zeros((2, carried.shape[1]), np.uint64), carried])  # so that three can be taken
    top = np.maximum(len(carried) - 1 - np.argmax(carried[::-1] != 0, axis=0), 2)
    taken = [np.take_along_axis(carried, (top - index)[None], axis=0)[0] for index in range(3)]
    below = np.cumsum(carried != 0, axis=0)
    sticky = np.take_along_axis(below, np.maximum(top - 3, 0)[None], axis=0)[0] * (top > 2) > 0  # noqa: PLR2004 - three are taken
    mantissa, shift = _round_digits(taken, sticky)
    exponents = _DIGIT * (top - 4) + shift + lowest
    return sign * _scale(mantissa, exponents)


def _carry(digits: list[_Whole]) -> list[_Whole]:
    """The same sum in digits from 0 to 2^32, but for the last, which has the sign."""
    carried, carry = [], np.zeros_like(digits[0])
    for digit in digits:
        total = digit + carry
        carried.append(total & _MASK)
        carry = total >> _DIGIT
    return [*carried, carry]


def _round_digits(taken: list[NDArray[np.uint64]], sticky: _Marks) -> tuple[Floats, _Whole]:
    """Three digits, the highest first, to a whole number of 53 bits, and the bits that it was shifted by.

    Args:
        taken: three times `[Q]`.
        sticky: whether anything stands below them.
    """
    high, middle, low = taken
    bits = _count_bits(high.astype(np.int64)).astype(np.uint64)
    digit, spare = np.uint64(_DIGIT), np.uint64(64 - _MANTISSA)
    word = (((high << digit) | middle) << (digit - bits)) | (low >> bits)
    sticky = sticky | ((low & ((np.uint64(1) << bits) - np.uint64(1))) != 0)
    kept, rest, half = word >> spare, word & np.uint64((1 << 11) - 1), np.uint64(1 << 10)
    is_odd = (kept & np.uint64(1)) != 0
    up = (rest > half) | ((rest == half) & (sticky | is_odd))
    return (kept + up).astype(np.float64), (bits + spare).astype(np.int64)


def _scale(numbers: Floats, exponents: _Whole | np.int64) -> Floats:
    with np.errstate(over="ignore", under="ignore"):  # too large is infinite
        return np.ldexp(numbers, exponents)
