"""Types of expressions, and the narrowest type that holds every possible result."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import cast

import polars as pl
from polars.exceptions import PolarsError
from sqlglot import exp

from treadle.sql.dialect import TYPES, Bounds, write

RANGES: dict[pl.DataType, Bounds] = {  # a boolean counts as 0 or 1
    dtype: (-(1 << bits - 1), (1 << bits - 1) - 1)
    for dtype, bits in {pl.Int8(): 8, pl.Int16(): 16, pl.Int32(): 32, pl.Int64(): 64, pl.Int128(): 128}.items()
} | {
    dtype: (0, (1 << bits) - 1)
    for dtype, bits in {pl.Boolean(): 1, pl.UInt8(): 8, pl.UInt16(): 16, pl.UInt32(): 32, pl.UInt64(): 64}.items()
}
WIDTHS = (
    ("BIGINT", pl.Int64(), RANGES[pl.Int64()]),
    ("INT128", pl.Int128(), RANGES[pl.Int128()]),
    ("DOUBLE", pl.Float64(), (-math.inf, math.inf)),
)


class Types:
    """Types of the parts of an expression, inferred by the engine itself from the types of columns."""

    def __init__(self, columns: Iterable[tuple[str, pl.DataType, Bounds | None]]) -> None:
        self._schema = {name: dtype for name, dtype, _ in columns}
        self._bounds = {name: bounds for name, _, bounds in columns}

    def find_type(self, node: exp.Expr) -> pl.DataType:
        """The type of its values; Null for an invalid one, which the engine reports for the whole expression."""
        if isinstance(node, exp.Column):
            return self._schema.get(node.name, pl.Null())
        if "dtype" not in node.meta:
            node.meta["dtype"] = self._infer(node)
        return cast("pl.DataType", node.meta["dtype"])

    def _infer(self, node: exp.Expr) -> pl.DataType:
        try:
            rows = pl.LazyFrame(schema={column.name: self.find_type(column) for column in node.find_all(exp.Column)})
            return rows.select(pl.sql_expr(write(node)).alias("value")).collect_schema()["value"]
        except PolarsError:
            return pl.Null()

    def find_bounds(self, node: exp.Expr) -> Bounds | None:
        """The smallest and the largest possible integer; None for another type."""
        if isinstance(node, exp.Paren):
            return self.find_bounds(node.this)
        if isinstance(node, exp.Literal) and node.is_int:
            return int(node.this), int(node.this)
        if node.meta.get("bounds") is None:
            known = self._bounds.get(node.name) if isinstance(node, exp.Column) else None
            node.meta["bounds"] = known or RANGES.get(self.find_type(node))
        return cast("Bounds | None", node.meta["bounds"])

    def cast(self, node: exp.Expr, word: str, dtype: pl.DataType) -> exp.Expr:
        """The node cast to a type, by its name in SQL."""
        if self.find_type(node) == dtype:
            return node
        found = exp.Cast(this=node, to=TYPES[word].copy())
        found.meta.update(dtype=dtype, bounds=node.meta.get("bounds") if dtype.is_integer() else None)
        return found

    def widen(self, node: exp.Expr, bounds: Bounds) -> exp.Expr:
        """An operator on integers, with operands of a type that holds them and the result."""
        operands = {name: node.args[name] for name in ("this", "expression") if name in node.args}
        every = [bounds, *filter(None, map(self.find_bounds, operands.values()))]
        least, most = min(low for low, _ in every), max(high for _, high in every)
        word, dtype = next((word, dtype) for word, dtype, (low, high) in WIDTHS if low <= least and most <= high)
        loose = [name for name, operand in operands.items() if not isinstance(operand, exp.Literal)]
        for name in loose or operands:  # a literal takes the type of the other operand
            node.set(name, self.cast(operands[name], word, dtype))
        node.meta.update(dtype=dtype, bounds=bounds if dtype.is_integer() else None)
        return node

    def broaden(self, node: exp.Expr, dtype: pl.DataType | None = None) -> exp.Expr:
        """Integers of at least 64 bits; `dtype` if the type is known already."""
        dtype = dtype or self.find_type(node)
        if dtype not in RANGES or dtype in {pl.Boolean(), pl.Int64(), pl.Int128()}:
            return node
        found = exp.Cast(this=node, to=TYPES["BIGINT"].copy())
        found.meta.update(dtype=pl.Int64(), bounds=RANGES[dtype])
        return found
