"""The README of an export: what the file is, and how it is called."""

from __future__ import annotations

from treadle.export.formats import FORMATS
from treadle.export.graph import NUMBERS
from treadle.export.signature import Input, Signature

FILE = "README.md"
_TEXT = """\
# {source} as {signature.to}

`{kind.FILE}` is the graph of the bundle {digest}: fitted transforms, network and calibration in one. It takes what
stands behind SQL expressions and vocabularies, for any number of rows:

| input | type | shape | missing |
|---|---|---|---|
{inputs}

It gives `{signature.output}`: {signature.output_dtype} {shape}.

`signature.json` lists the columns in their order, the SQL of those that are derived, and the words of each vocabulary:
the id of a word is its place, from 1; what is unknown or missing is 0. A number that float32 cannot hold is missing.
The pixels of a missing image are 0.

`parity.parquet` has {parity.rows} rows with what the bundle predicts for them. The graph differs by at most
{parity.largest_difference:.2g}, as a share of the value, of the target's deviation, or of 1; {parity.allowed:g} is
allowed.

```python
import numpy, polars

rows = polars.read_parquet("parity.parquet")
inputs = {{name: rows.select(f"^{{name}}[.].*$").to_numpy(order="c") for name in {names}}}

{kind.EXAMPLE}
wanted = rows.select("^prediction[.].*$").to_numpy()
assert numpy.allclose(found.reshape(wanted.shape), wanted, atol=1e-5)
```

{kind.CAUTION}
"""


def write_readme(signature: Signature, *, source: str) -> str:
    """The text, in Markdown."""
    columns = signature.classes or [f"{level:g}" for level in signature.levels]
    kind = "quantiles" if signature.levels else "labels" if signature.task == "multilabel" else "classes"
    shape = f"`[rows, {len(columns)}]`, for the {kind} {', '.join(columns)}" if columns else "`[rows]`"
    if signature.thresholds:
        shape += f"; a label is predicted from {', '.join(f'{value:.6g}' for value in signature.thresholds)} on"
    return _TEXT.format(
        source=source,
        signature=signature,
        kind=FORMATS[signature.to],
        digest=signature.bundle[:12],
        inputs="\n".join(map(_describe, signature.inputs)),
        shape=shape,
        parity=signature.parity,
        names="[" + ", ".join(f'"{name}"' for name in signature.names) + "]",
    )


def _describe(given: Input) -> str:
    missing = "NaN" if given.name == NUMBERS else "0"
    return f"| `{given.name}` | {given.dtype} | `[rows, {given.width}]` | {missing} |"
