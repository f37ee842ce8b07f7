"""The contract of one column of a table."""

from __future__ import annotations

import operator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from treadle.experiment.spec.base import DataPath, Duration, Spec, is_unset
from treadle.schema import Count


def _check_prefix(text: str) -> str:
    return _check_affix(text, touching=text.strip()[-1:])


def _check_suffix(text: str) -> str:
    return _check_affix(text, touching=text.strip()[:1])


def _check_affix(text: str, *, touching: str) -> str:
    """`touching` is the character next to the number."""
    if not touching or touching.isdecimal() or text.strip()[0] in "-.,":
        raise ValueError("must not be blank, begin with a minus, point or comma, or have a digit next to the number")
    return text


Value = bool | int | float | str  # of a column; `data/bounds.py` checks it against the column's type
Thousands = Literal[",", ".", "'", " ", "\u00a0", "\u2009", "\u202f"]  # the last three: no-break, thin, narrow no-break
Prefix = Annotated[str, AfterValidator(_check_prefix)]  # before a number: "$", "EUR"
Suffix = Annotated[str, AfterValidator(_check_suffix)]  # after a number: "kg", "%", "m2"
Power = Annotated[int, Field(ge=-30, le=30)]  # of ten
Epoch = Literal["s", "ms", "us", "ns"]  # seconds, milliseconds, microseconds, nanoseconds
Unreadable = Literal["refuse", "missing"]
Negative = Literal["parentheses", "trailing", "dash"]
Encoding = Literal[
    "utf-8",
    "utf-16",
    "latin-1",
    "windows-1250",
    "windows-1251",
    "windows-1252",
    "windows-1253",
    "windows-1254",
    "windows-1255",
    "windows-1256",
    "windows-1257",
    "iso-8859-2",
    "iso-8859-5",
    "iso-8859-7",
    "iso-8859-15",
    "koi8-r",
    "koi8-u",
    "cp437",
    "cp850",
    "cp852",
    "cp866",
    "cp874",
    "mac-roman",
    "mac-cyrillic",
    "cp932",
    "euc-jp",
    "gb18030",
    "big5",
    "cp949",
]


class Column(Spec):
    """The contract of one column of a table, validated when its rows are read."""

    dtype: Literal["int", "float", "bool", "str", "text", "image", "date", "datetime", "time"]
    """Data type of the column; `str` is a category or an identifier, `text` is read, `image` is a file of pixels."""
    source: str | None = None
    """Name of the column in the file, where it differs; null: the same name."""
    format: str | None = None
    """Format of a date, datetime or time in text, such as "%d/%m/%Y %H:%M"; null: ISO 8601."""
    epoch: Epoch | None = None
    """Unit of a datetime that is stored as a number since 1970-01-01 UTC; null: it is not a number."""
    thousands: Thousands | None = None
    """Thousands separator of numbers in text: "," in 1,234.5; a space stands for any kind of space."""
    decimal: Literal[".", ","] = "."
    """Decimal separator of numbers in text: "," in 1.234,5."""
    prefix: list[Prefix] = []
    """Texts allowed before a number, such as "$"; surrounding whitespace is ignored."""
    suffix: list[Suffix] = []
    """Texts allowed after a number, such as "%" or "kg"; surrounding whitespace is ignored."""
    powers: dict[Suffix, Power] = {}
    """Suffixes that scale a number, with their power of ten: {k: 3} reads 1.5k as 1500."""
    negative: Negative | None = None
    """Notation of negative numbers other than a leading minus: parentheses (5), trailing 5-, or a typographic dash."""
    spellings: list[str] = []
    """Canonical spellings: a value that differs from one only in letter case is replaced by it."""
    nullable: bool = False
    """Whether values may be missing."""
    unique: bool = False
    """Whether all values must be distinct."""
    min: Value | None = None
    """Minimum valid value, inclusive: a number, a date or a datetime."""
    max: Value | None = None
    """Maximum valid value, inclusive: a number, a date or a datetime."""
    allowed: list[Value] | None = None
    """The only valid values, of the column's type; null: any."""
    missing: list[str] = []
    """Texts read as a missing value, such as "?"; surrounding whitespace is ignored."""
    unreadable: Unreadable = "refuse"
    """What happens to a value that cannot be parsed as the type: refuse the table, or read it as missing."""
    max_age: Duration | None = None
    """Maximum age of the newest date or datetime when the rows are read [duration]."""
    known_after_prediction: bool = False
    """Whether the value is known only after the prediction, so that no feature of its own row may use it."""
    folder: DataPath | None = Field(default=None, exclude_if=is_unset)
    """Folder of the files that a column of images names, relative to the project, or its address; null: the column
    holds the files."""
    height: Count | None = Field(default=None, exclude_if=is_unset)
    """Height of every image; null: any [pixels]."""
    width: Count | None = Field(default=None, exclude_if=is_unset)
    """Width of every image; null: any [pixels]."""
    channels: Literal[1, 3] | None = Field(default=None, exclude_if=is_unset)
    """Channels of every image, 1 for gray and 3 for colours; null: any."""
    private: bool = Field(default=False, exclude_if=operator.not_)
    """Whether values tell about persons what no log of predictions, and no report by itself, may hold."""

    def name_in_file(self, name: str) -> str:
        """The name that the column declared as `name` has in the file; it may be empty."""
        return name if self.source is None else self.source
