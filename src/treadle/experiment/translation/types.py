"""Types of expressions, and the narrowest that holds what may come out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import cast

import polars as pl
from polars.exceptions import PolarsError
from sqlglot import exp

from treadle.experiment.translation.dialect import Bounds, read, write

RANGES: dict[pl.DataType, Bounds] = {
    dtype: (-(1 << bits - 1), (1 << bits - 1) - 1)
    for dtype, bits in {pl.Int8(): 8, pl.Int16(): 16, pl.Int32(): 32, pl.Int64(): 64, pl.Int128(): 128}.items()
} | {
    dtype: (0, (1 << bits) - 1)
    for dtype, bits in {pl.UInt8(): 8, pl.UInt16(): 16, pl.UInt32(): 32, pl.UInt64(): 64}.items()
}
WIDTHS = (
    ("BIGINT", pl.Int64(), RANGES[pl.Int64()]),
    ("INT128", pl.Int128(), RANGES[pl.Int128()]),
    ("DOUBLE", pl.Float64(), (-math.inf, math.inf)),
)


class Types:
    """What the parts of an expression are, by the columns that it reads; the engine itself says it."""

    def __init__(self, columns: Iterable[tuple[str, pl.DataType, Bounds | None]]) -> None:
        self._rows = pl.LazyFrame(schema={name: dtype for name, dtype, _ in columns})
        self._bounds = {name: bounds for name, _, bounds in columns}

    def find_type(self, node: exp.Expr) -> pl.DataType:
        """The type of its values; Null where it has none, which the engine tells when all is read."""
        if "dtype" not in node.meta:
            try:
                schema = self._rows.select(pl.sql_expr(write(node)).alias("value")).collect_schema()
                node.meta["dtype"] = schema["value"]
            except PolarsError:
                node.meta["dtype"] = pl.Null()
        return cast("pl.DataType", node.meta["dtype"])

    def find_bounds(self, node: exp.Expr) -> Bounds | None:
        """The least and the largest integer that it may give; None where it gives none."""
        if isinstance(node, exp.Paren):
            return self.find_bounds(node.this)
        if isinstance(node, exp.Literal) and node.is_int:
            return int(node.this), int(node.this)
        if node.meta.get("bounds") is None:
            known = self._bounds.get(node.name) if isinstance(node, exp.Column) else None
            node.meta["bounds"] = known or RANGES.get(self.find_type(node))
        return cast("Bounds | None", node.meta["bounds"])

    def cast(self, node: exp.Expr, word: str, dtype: pl.DataType) -> exp.Expr:
        """The node in a type, by the name that SQL has for it; a literal fits whatever stands beside it."""
        is_small = isinstance(node, exp.Literal) and dtype == pl.Int64()
        if is_small or self.find_type(node) == dtype:
            return node
        found = read(f"CAST({write(node)} AS {word})", bounds=node.meta.get("bounds") if dtype.is_integer() else None)
        found.meta["dtype"] = dtype
        return found

    def widen(self, node: exp.Expr, bounds: Bounds) -> exp.Expr:
        """An operator over integers, its operands in a type that holds the result."""
        word, dtype = next((w, d) for w, d, limits in WIDTHS if limits[0] <= bounds[0] and bounds[1] <= limits[1])
        for name in ("this", "expression"):
            if name in node.args:
                node.set(name, self.cast(node.args[name], word, dtype))
        node.meta.update(dtype=dtype, bounds=bounds if dtype.is_integer() else None)
        return node

    def broaden(self, node: exp.Expr) -> exp.Expr:
        """Integers of 64 bits at least."""
        bounds = RANGES.get(self.find_type(node))
        if bounds is None or self.find_type(node) in {pl.Int64(), pl.Int128()}:
            return node
        found = read(f"CAST({write(node)} AS BIGINT)", bounds=bounds)
        found.meta["dtype"] = pl.Int64()
        return found
