"""The training cost of a model, declared beside it and read without importing it.

    class Net(nn.Module):
        COST = Cost(inputs="num_numeric + num_words", products="inputs * width + width * num_outputs", values="width")

Each expression may name the arguments of the class, the sizes of its inputs (`num_numeric` numbers, `num_categories`
categorical columns, `num_words` categories in all of them), `num_outputs`, and the expressions before it.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_OPERATORS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.Eq: operator.eq,
    ast.Gt: operator.gt,
}


class CostError(ValueError):
    """A cost that cannot be computed: an invalid expression, or an unknown name."""


@dataclass(frozen=True)
class Work:
    """The work of the forward pass of one row."""

    products: float  # multiplications with weights
    values: float  # values that layers write


class Cost:
    """Expressions by name for the forward pass of one row, `products` and `values` among them."""

    def __init__(self, *, products: str, values: str, **before: str) -> None:
        self.expressions = {**before, "products": products, "values": values}

    def measure(self, names: Mapping[str, Any]) -> Work:
        """The work of a model with these arguments and inputs.

        Raises:
            CostError: an expression is invalid, or has an unknown name.
        """
        known = dict(names)
        for name, text in self.expressions.items():
            try:
                known[name] = _evaluate(ast.parse(text, mode="eval").body, known)
            except (SyntaxError, ArithmeticError, TypeError, KeyError) as error:
                raise CostError(f"COST: {name}={text!r} cannot be computed: {error}") from error
        return Work(float(known["products"]), float(known["values"]))


def parse_cost(text: str) -> Cost | None:
    """The value of a class attribute `COST`, from its source; None if it is no Cost."""
    try:
        call = ast.parse(text, mode="eval").body
        if isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2] == Cost.__name__:
            return Cost(**{str(word.arg): ast.literal_eval(word.value) for word in call.keywords})
    except (SyntaxError, TypeError, ValueError):
        return None
    return None


def _evaluate(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """Arithmetic on names and numbers, `a or b` for what may be None, and `x if a == b else y`."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return names[name]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_evaluate(left, names), _evaluate(right, names))
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_evaluate(left, names), _evaluate(right, names))
        case ast.BoolOp(op=ast.Or(), values=values):
            return next((value for part in values if (value := _evaluate(part, names))), 0)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return _evaluate(body if _evaluate(test, names) else orelse, names)
    raise TypeError(f"{ast.unparse(node)!r} is no arithmetic")
