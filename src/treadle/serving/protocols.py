"""The forms in which rows come and predictions go: plain rows, the Open Inference Protocol V2, MLflow's.

https://github.com/kserve/open-inference-protocol (REST, version 2) · https://mlflow.org, "Deploy MLflow model as a
local inference server".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from treadle.serving.scorer import Answer

Body = Any  # what JSON holds
_DATATYPES = {"Int64": "INT64", "Float32": "FP32", "Float64": "FP64", "Boolean": "BOOL"}  # others are texts: BYTES


class FormError(ValueError):
    """A body that is not of the form of its protocol; the text says what must hold."""


# --- plain rows


def read_rows(body: Body) -> list[Any]:
    """A row, a list of rows, or `{"rows": [...]}`."""
    if isinstance(body, list):
        return body
    if isinstance(body, dict):
        return body["rows"] if body.keys() == {"rows"} and isinstance(body["rows"], list) else [body]
    raise FormError("the body must be a row, a list of rows, or an object with the list `rows`")


def write_rows(answers: Sequence[Answer], *, model: str, bundle: str, request: str) -> dict[str, Any]:
    """A prediction for each row, null where it has none; the id of a row is `<id>.<its position>`."""
    found: dict[str, Any] = {"id": request, "model": model, "bundle": bundle}
    found["predictions"] = [answer.prediction for answer in answers]
    return found | list_problems(answers)


def list_problems(answers: Sequence[Answer]) -> dict[str, Any]:
    """`errors`: why rows have no prediction; `warnings`: what is odd about others. With row, column, value and rule."""
    found: dict[str, Any] = {}
    for place, answer in enumerate(answers):
        listed = "errors" if answer.prediction is None else "warnings"
        for problem in answer.problems:
            found.setdefault(listed, []).append({"row": place, **problem._asdict()})
    return found


# --- Open Inference Protocol V2


def read_oip(body: Body) -> list[Any]:
    """Columns as tensors: `inputs: [{name, datatype, shape, data}]`."""
    inputs = body.get("inputs") if isinstance(body, dict) else None
    if not isinstance(inputs, list) or not inputs:
        raise FormError("the body must be an object with `inputs`, a list of tensors: one for each column")
    columns = dict(map(_read_tensor, inputs))
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) != 1 or len(columns) != len(inputs):
        raise FormError(f"each column must be there once, with a value for each row; found {lengths}")
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _read_tensor(tensor: Any) -> tuple[str, list[Any]]:
    if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
        raise FormError("a tensor must be an object with `name`, `datatype`, `shape` and `data`")
    name, data, shape = tensor["name"], tensor.get("data"), tensor.get("shape")
    if not isinstance(data, list):
        raise FormError(f"the tensor {name!r} must have `data`, a list; binary data are not supported")
    if data and all(isinstance(item, list) and len(item) == 1 for item in data):
        data = [item[0] for item in data]
    if shape not in ([len(data)], [len(data), 1]):
        raise FormError(f"the tensor {name!r} must have the shape [{len(data)}] or [{len(data)}, 1], as its data have")
    return name, data


def write_oip(
    answers: Sequence[Answer], *, model: str, bundle: str, request: str, outputs: Mapping[str, Any]
) -> dict[str, Any]:
    """A tensor for each output; null where a row has no prediction."""
    columns = {name: [None if a.prediction is None else a.prediction[name] for a in answers] for name in outputs}
    tensors = [
        {"name": name, "datatype": find_datatype(outputs[name]), "shape": [len(data)], "data": data}
        for name, data in columns.items()
    ]
    found = {"model_name": model, "model_version": bundle, "id": request, "outputs": tensors}
    return found | list_problems(answers)


def find_datatype(dtype: Any) -> str:
    """The protocol's name of a Polars type."""
    return _DATATYPES.get(str(dtype), "BYTES")


def describe_oip(*, model: str, bundle: str, types: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Any]:
    """The model's metadata; types are those of Polars."""
    inputs, given = (
        [{"name": name, "datatype": find_datatype(dtype), "shape": [-1]} for name, dtype in tensors.items()]
        for tensors in (types, outputs)
    )
    return {"name": model, "versions": [bundle], "platform": "treadle", "inputs": inputs, "outputs": given}


# --- MLflow


def read_mlflow(body: Body) -> list[Any]:
    """One of `dataframe_split`, `dataframe_records`, `instances` and `inputs`."""
    forms = {"dataframe_split", "dataframe_records", "instances", "inputs"}
    given = forms & body.keys() if isinstance(body, dict) else set()
    if len(given) != 1:
        raise FormError(f"the body must be an object with one of {', '.join(sorted(forms))}")
    (form,) = given
    value = body[form]
    if form == "dataframe_split":
        return _read_split(value)
    if form == "inputs" and isinstance(value, dict):
        return _read_columns(value)
    if not isinstance(value, list):
        raise FormError(f"`{form}` must be a list of rows")
    return value


def _read_split(value: Any) -> list[Any]:
    columns = value.get("columns") if isinstance(value, dict) else None
    data = value.get("data") if isinstance(value, dict) else None
    if not isinstance(columns, list) or not isinstance(data, list) or not all(isinstance(c, str) for c in columns):
        raise FormError("`dataframe_split` must have `columns`, a list of names, and `data`, a list of rows")
    if not all(isinstance(row, list) and len(row) == len(columns) for row in data):
        raise FormError(f"each row of `dataframe_split.data` must have {len(columns)} values, one for each column")
    return [dict(zip(columns, row, strict=True)) for row in data]


def _read_columns(value: Mapping[str, Any]) -> list[Any]:
    columns = {name: data if isinstance(data, list) else [data] for name, data in value.items()}
    if len({len(data) for data in columns.values()}) != 1:
        raise FormError("the columns of `inputs` must be of one length")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def write_mlflow(answers: Sequence[Answer], *, outputs: Mapping[str, Any]) -> dict[str, Any]:
    """A number for each row, or an object where there are several; null where a row has no prediction."""
    single = next(iter(outputs)) if len(outputs) == 1 else None
    values = [
        answer.prediction if single is None or answer.prediction is None else answer.prediction[single]
        for answer in answers
    ]
    return {"predictions": values} | list_problems(answers)
