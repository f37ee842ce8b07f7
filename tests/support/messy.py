"""Tables as they come: 200 rows in which `answer` depends on `size`, written in many ways."""

from pathlib import Path

import numpy as np

ROWS = 200


def make_rows(num_rows=ROWS):
    """Columns of texts, as a file holds them."""
    generator = np.random.default_rng(0)
    size = generator.normal(50.0, 20.0, num_rows)
    color = generator.choice(["red", "green", "blue"], num_rows)
    answer = np.where(size + generator.normal(0.0, 15.0, num_rows) > 50, "yes", "no")
    return {
        "size": [f"{value:.2f}" for value in size],
        "color": color.tolist(),
        "count": [str(value) for value in generator.integers(0, 5, num_rows)],
        "answer": answer.tolist(),
    }


def write_csv(path: Path, columns, *, separator=",", encoding="utf-8", end="\n"):
    """A text file with a header; fields are quoted where they must be."""
    lines = [list(columns), *zip(*columns.values(), strict=True)]

    def field(text):
        needs = any(mark in text for mark in (separator, '"', "\n"))
        return '"' + text.replace('"', '""') + '"' if needs else text

    text = "".join(separator.join(map(field, line)) + end for line in lines)
    path.write_bytes(text.encode(encoding))
    return path
