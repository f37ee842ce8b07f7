"""Bundles that no training made: each a valid one with a change, signed anew, and a part of the error."""

import hashlib
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

LISTED = ("featurizer.json", "featurizer.pt", "network.pt", "experiment.json")


@dataclass(frozen=True)
class Mutant:
    name: str
    change: Callable[[Path], None]
    told: str = "bundle"  # a part of the error


def sign(folder):
    """As its maker would: the card lists the digests of what lies there."""
    card = json.loads((folder / "bundle.json").read_text())
    card["files"] = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in LISTED}
    (folder / "bundle.json").write_text(json.dumps(card))


def edit(folder, name, change):
    """Change the values of a JSON file in place."""
    values = json.loads((folder / name).read_text())
    change(values)
    (folder / name).write_text(json.dumps(values))
    if name != "bundle.json":
        sign(folder)


def put(values, key, value):
    """Set, or with `...` remove, what stands at a dotted key."""
    *parents, last = key.split("/")
    for parent in parents:
        values = values[parent]
    if value is ...:
        del values[last]
    else:
        values[last] = value


def with_value(name, key, value, told=None):
    shown = "left out" if value is ... else json.dumps(value)[:40]
    return Mutant(
        f"{name}: {key} = {shown}",
        lambda folder: edit(folder, name, lambda values: put(values, key, value)),
        key.rpartition("/")[2] if told is None else told,
    )


def with_bytes(name, label, data, told=None):
    def change(folder):
        (folder / name).write_bytes(data)
        if name != "bundle.json":
            sign(folder)

    return Mutant(f"{name}: {label}", change, name if told is None else told)


def with_tensors(name, label, change, told=None):
    def mutate(folder):
        tensors = torch.load(folder / name, weights_only=True)
        torch.save(change(tensors) or tensors, folder / name)
        sign(folder)

    return Mutant(f"{name}: {label}", mutate, name if told is None else told)


def with_folder(label, change, told):
    return Mutant(label, change, told)


CARD, FEATURES, RECIPE = "bundle.json", "featurizer.json", "experiment.json"
JSON = [
    with_bytes(name, label, data, told)
    for name in (CARD, FEATURES, RECIPE)
    for label, data, told in [
        ("empty", b"", "is not JSON"),
        ("null", b"null", ""),
        ("a list", b"[]", ""),
        ("cut short", b'{"task": "bin', "is not JSON"),
        ("not UTF-8", b'{"task": "\xff\xfe"}', "is not JSON"),
        ("200,000 brackets", b"[" * 200_000 + b"]" * 200_000, "nested deeper"),
        ("500 brackets", b"[" * 500 + b"]" * 500, "nested deeper"),
        ("an integer of 5,000 digits", b'{"seed": ' + b"9" * 5_000 + b"}", "is not JSON"),
        ("a name twice", b'{"seed": 1, "seed": 2}', "a name twice"),
        ("NaN", b'{"seed": NaN}', "NaN is no number"),
        ("eleven million values", b"[" + b"0," * 11_000_000 + b"0]", "more than 10,000,000 values"),
        ("an unknown key", b'{"format": 2, "evil": 1}', ""),
    ]
]
CARDS = [
    *(with_value(CARD, key, ...) for key in ("task", "classes", "columns", "target", "target/mean", "target/scale")),
    *(with_value(CARD, "format", value) for value in (..., 1, "2", True, None)),
    *(
        with_value(CARD, "task", value)
        for value in (True, "ranking", None, 1, ["binary"], "multiclass", "regression\n")
    ),
    *(with_value(CARD, "classes", value) for value in ("text", None, {}, [1], [None], ["a"], ["a", "b"], ["\ud800"])),
    *(with_value(CARD, "columns", value, "") for value in (None, [], {}, {"age": "Int64"}, ["age"], "age")),
    *(with_value(CARD, "columns/age", value) for value in ("Int7", 5, None, "Object", "Datetime", "int")),
    with_value(CARD, "columns", {f"c{i}": "Int64" for i in range(100_000)}),
    with_value(CARD, "columns/age", "String", ""),
    with_value(CARD, "columns/workclass", "Date", ""),
    *(with_value(CARD, "target", value) for value in (None, [], {}, 1.0)),
    *(with_value(CARD, "target/mean", value) for value in ([], "0", None, True)),
    *(with_value(CARD, "target/scale", value) for value in ([], "1", None, True, 0, -1.0)),
    *(with_value(CARD, "files", value) for value in (None, [], {}, {"network.pt": "0" * 64})),
    *(with_value(CARD, "files/network.pt", value) for value in (None, "", "0" * 64, "0" * 63, ["0" * 64])),
    with_value(CARD, "files/evil.py", "0" * 64),
    *(with_value(CARD, f"target/{key}", value, "") for key in ("mean", "scale") for value in (1e999, 2.5)),
    with_value(CARD, "evil", 1),
    with_value(CARD, "evil\x1b]8;;http:\x07\n\u202e", 1, "evil"),
]


def sums(num_terms):
    return " + ".join(["age"] * num_terms)


DERIVED = {
    "3,000 terms": sums(3_000),
    "300 terms": sums(300),
    "100,000 terms": sums(100_000),
    "10,000 parentheses": "(" * 10_000 + "age" + ")" * 10_000,
    "300 parentheses": "(" * 300 + "age" + ")" * 300,
    "300 functions in each other": "ABS(" * 300 + "age" + ")" * 300,
    "a long list": f"age IN ({', '.join(map(str, range(5_000)))})",
    "lpad to 2**33": "LENGTH(LPAD(workclass, 8589934592))",
    "rpad to 2**33": "LENGTH(RPAD(workclass, 8589934592, 'x'))",
    "lpad by a column": "LENGTH(LPAD(workclass, age * 1000000000))",
    "replace by a replacement": "LENGTH(REPLACE(REPLACE(workclass, 'a', 'aaaaaaaaaaaaaaaaaaaaa'), 'a', education))",
    "repeat": "LENGTH(REPEAT(workclass, 1000000000))",
    "a window": "SUM(age) OVER ()",
    "an aggregate": "AVG(age)",
    "randomness": "RANDOM()",
    "a clock": "EXTRACT(YEAR FROM NOW())",
    "a query": "(SELECT 1)",
    "a file": "(SELECT * FROM read_csv('/etc/passwd'))",
    "an unknown column": "aeg + 1",
    "an unknown function": "EVIL(age)",
    "not SQL": "age +* 1",
    "nothing": "",
    "a text": "UPPER(workclass)",
    "two statements": "age; DROP TABLE x",
}
RECIPES = [
    *(
        with_value(RECIPE, key, ...)
        for key in ("seed", "data", "features", "model", "schedule", "loss", "augmentation")
    ),
    with_value(RECIPE, "targets", ["os."]),
    with_value(RECIPE, "seed", "1"),
    with_value(RECIPE, "data/task", "ranking"),
    with_value(RECIPE, "data/tables", {}, ""),
    with_value(RECIPE, "data/examples/table", "none"),
    with_value(RECIPE, "data/examples/known", "age"),
    with_value(RECIPE, "model", []),
    with_value(RECIPE, "model", {}),
    with_value(RECIPE, "model", {"_target_": "os.system", "command": "true"}),
    with_value(RECIPE, "model", {"_target_": "treadle.models.mlp.Nlp"}, "Nlp"),
    with_value(RECIPE, "model", {"_target_": "treadle.models.mlp.torch.load"}, "model"),
    with_value(RECIPE, "model", {"_target_": "treadle.models.ensemble._make_member"}, "model"),
    with_value(RECIPE, "model", {"_target_": "treadle.features.transforms.Standardize"}, "model"),
    with_value(RECIPE, "model", {"_target_": "treadle.models.linear.Linear"}, "network.pt"),
    *(with_value(RECIPE, "model/width", value) for value in (0, -1, "8", None, 1.5, True, ...)),
    *(with_value(RECIPE, "model/width", value, "") for value in (9, 10**6, 10**9, 10**30)),
    *(with_value(RECIPE, "model/num_layers", value, "") for value in (1, 3, 10**4, 10**9)),
    *(with_value(RECIPE, "model/embedding_dim", value, "") for value in (7, 10**12)),
    with_value(RECIPE, "model/dropout", 1e999, "no number"),
    with_value(RECIPE, "model/dropout", 2.0),
    with_value(RECIPE, "model/num_numeric", 3),
    with_value(RECIPE, "model/evil", 1),
    with_value(
        RECIPE,
        "model",
        {
            "_target_": "treadle.models.ensemble.Ensemble",
            "members": 10**9,
            "member": {"_target_": "treadle.models.linear.Linear"},
        },
        "larger than the weights",
    ),
    with_value(
        RECIPE,
        "model",
        {
            "_target_": "treadle.models.mlp_plr.MlpPlr",
            "num_layers": 1,
            "width": 8,
            "dropout": 0.0,
            "embedding_dim": 8,
            "num_frequencies": 10**9,
            "frequency_scale": 1.0,
            "numeric_embedding_dim": 10**9,
        },
        "larger than the weights",
    ),
    *(
        Mutant(
            f"{RECIPE}: derive {name}",
            lambda folder, text=text: edit(folder, RECIPE, lambda v: put(v, "features/derive/older", text)),
            "older" if name == "a text" else "derive",
        )
        for name, text in DERIVED.items()
    ),
    with_value(RECIPE, "features/derive", {f"d{i}": "age * 2.5 - 1000000000" for i in range(20_000)}, "derived"),
    with_value(
        RECIPE,
        "features/derive",
        {"older": "age", **{f"d{i}": f"CONCAT({f'd{i - 1}' if i else 'race'}, race, race)" for i in range(100)}}
        | {f"t{i}": f"CONCAT(t{i - 1}, t{i - 1})" if i else "race" for i in range(40)},
        "characters",
    ),
    with_value(
        RECIPE,
        "features/derive",
        {"older": "age"} | {f"d{i}": f"d{i - 1} + age" if i else "age" for i in range(5_000)},
        "deep",
    ),
    with_value(RECIPE, "features/derive", {}, ""),
    with_value(
        RECIPE,
        "features/blocks",
        {f"b{i}": {"columns": ["age"], "steps": {}} for i in range(20_000)},
        "blocks and steps",
    ),
    with_value(RECIPE, "data/tables/people/columns", {f"c{i}": {"dtype": "int"} for i in range(100_000)}, "columns"),
    with_value(RECIPE, "data/tables/people/columns/workclass/format", "%d", "format"),
    with_value(RECIPE, "features/blocks", {}),
    with_value(RECIPE, "features/blocks/round", ..., "blocks"),
    with_value(RECIPE, "features/blocks/more", {"columns": ["age"], "steps": {}}, ""),
    with_value(RECIPE, "features/blocks/round/columns", ["hours-per-week"], "round"),
    with_value(RECIPE, "features/blocks/round/columns", []),
    with_value(RECIPE, "features/blocks/round/steps", {}),
    with_value(RECIPE, "features/blocks/round/steps/cycle/period", 0),
    with_value(RECIPE, "features/blocks/round/steps/cycle/period", 1e999, "no number"),
    with_value(RECIPE, "features/blocks/round/steps/cycle/evil", 1),
    with_value(RECIPE, "features/blocks/round/steps/cycle", {"_partial_": True}, ""),
    with_value(RECIPE, "features/blocks/ranked/steps/rank/num_quantiles", 6, "knots"),
    with_value(RECIPE, "features/blocks/words/steps/ids/_target_", "treadle.features.categories.Hashing", ""),
    with_value(RECIPE, "features/blocks/hashed/steps/ids/num_buckets", 9, "network.pt"),
    with_value(RECIPE, "features/blocks/hashed/steps/ids/num_buckets", 10**9, "larger than the weights"),
    with_value(RECIPE, "features/blocks/hashed/steps/ids/num_buckets", 10**30, ""),
]
STATES = [
    *(with_value(FEATURES, key, ...) for key in ("encoders", "columns", "encoders/words", "columns/round")),
    *(with_value(FEATURES, key, None) for key in ("encoders", "columns", "encoders/words", "columns/round")),
    with_value(FEATURES, "evil", 1),
    with_value(FEATURES, "encoders/evil", {}, "blocks"),
    with_value(FEATURES, "encoders/hashed", {"evil": 1}, "evil"),
    with_value(FEATURES, "encoders/words/evil", 1, "words"),
    with_value(FEATURES, "encoders/words/words/workclass", ..., "words"),
    *(with_value(FEATURES, "encoders/words/words", value) for value in (None, [], {}, "text")),
    *(
        with_value(FEATURES, "encoders/words/words/workclass", value, "")
        for value in (None, "ab", [], ["a"], ["a", "a"], ["a", 1], ["a", None], ["a", "b", "c"], ["a", "\ud800"])
    ),
    with_value(FEATURES, "columns/scaled/scale", ["age", "older"], "scale"),
    with_value(FEATURES, "columns/scaled/impute", ["older", "age"], "impute"),
    with_value(FEATURES, "columns/scaled/scale", ..., "scaled"),
    with_value(FEATURES, "columns/scaled/evil", [], "scaled"),
]


def fill(name, value):
    return lambda tensors: tensors[name].fill_(value) and None


def change(name, make):
    return lambda tensors: {**tensors, name: make(tensors[name])}


def compress(folder):
    with zipfile.ZipFile(folder / "network.pt") as old:
        records = {record.filename: old.read(record) for record in old.infolist()}
    with zipfile.ZipFile(folder / "network.pt", "w", zipfile.ZIP_DEFLATED) as new:
        for name, data in records.items():
            new.writestr(name, data)
    sign(folder)


LAYER = "layers.0.weight"
TENSORS = [
    *(
        with_bytes(name, label, data)
        for name in ("network.pt", "featurizer.pt")
        for label, data in [
            ("empty", b""),
            ("text", b"evil"),
            ("a pickle", b"\x80\x04N."),
            ("zeros", bytes(1000)),
            ("a zip", b"PK\x05\x06" + bytes(18)),
        ]
    ),
    with_folder("network.pt: compressed", compress, "without compression"),
    with_tensors("network.pt", "a list", lambda tensors: list(tensors.values()), "by name"),
    with_tensors("network.pt", "a number by name", lambda tensors: {**tensors, LAYER: 5}, LAYER),
    with_tensors("network.pt", "a number as a name", lambda tensors: {**tensors, 5: tensors[LAYER]}, "by name"),
    with_tensors("network.pt", "one missing", lambda tensors: {k: v for k, v in tensors.items() if k != LAYER}, LAYER),
    with_tensors("network.pt", "one more", lambda tensors: {**tensors, "evil": tensors[LAYER]}, "evil"),
    *(
        with_tensors("network.pt", label, change(LAYER, make), LAYER)
        for label, make in [
            ("NaN", lambda t: t * torch.nan),
            ("infinity", lambda t: t / 0),
            ("another shape", lambda t: t[:, 1:].clone()),
            ("transposed", lambda t: t.T),
            ("float64", lambda t: t.double()),
            ("integers", lambda t: t.long()),
            ("complex", lambda t: t.to(torch.complex64)),
            ("sparse", lambda t: t.to_sparse()),
            ("without memory", lambda t: t.to("meta")),
            ("one number many times", lambda t: t[:1, :1].expand(t.shape)),
            ("one number 10**12 times", lambda t: t[0, :1].expand(10**12)),
            ("no numbers", lambda t: t[:0].clone()),
        ]
    ),
    *(
        with_tensors("featurizer.pt", f"{name} {label}", change(f"chains.{name}", make), name.rpartition(".")[2])
        for name, label, make in [
            ("scaled.impute.center", "NaN", lambda t: t * torch.nan),
            ("scaled.impute.center", "short", lambda t: t[:1].clone()),
            ("scaled.impute.center", "integers", lambda t: t.long()),
            ("scaled.impute.gaps", "out of range", lambda t: t + 5),
            ("scaled.impute.gaps", "negative", lambda t: t - 5),
            ("scaled.impute.gaps", "floats", lambda t: t.float()),
            ("scaled.impute.gaps", "twice", lambda t: t[:1].repeat(2)),
            ("scaled.impute.gaps", "a matrix", lambda t: t[None]),
            ("scaled.scale.mean", "infinite", lambda t: t / 0),
            ("scaled.scale.mean", "long", lambda t: t.repeat(2)),
            ("scaled.scale.scale", "zero", torch.zeros_like),
            ("scaled.scale.scale", "negative", lambda t: -t),
            ("ranked.rank.knots", "descending", lambda t: t.flip(1)),
            ("ranked.rank.knots", "NaN", lambda t: t * torch.nan),
            ("ranked.rank.knots", "all infinite", lambda t: torch.full_like(t, torch.inf)),
            ("ranked.rank.ranks", "above 1", lambda t: t + 1),
            ("ranked.rank.ranks", "descending", lambda t: t.flip(1)),
            ("binned.bins.origin", "out of range", lambda t: t + 100),
            ("binned.bins.origin", "negative", lambda t: t - 100),
            ("binned.bins.widths", "zero", torch.zeros_like),
            ("binned.bins.edges", "NaN", lambda t: t * torch.nan),
            ("binned.bins.edges", "short", lambda t: t[1:].clone()),
        ]
    ),
    *(
        with_tensors("featurizer.pt", f"constants {label}", lambda tensors, new=new: {**tensors, **new}, told)
        for label, new, told in [
            (
                "out of range",
                {"constant_numbers.places": torch.tensor([99]), "constant_numbers.values": torch.zeros(1)},
                "places",
            ),
            (
                "NaN",
                {"constant_numbers.places": torch.tensor([0]), "constant_numbers.values": torch.ones(1) / 0},
                "values",
            ),
            (
                "too few",
                {"constant_ids.places": torch.tensor([0]), "constant_ids.values": torch.zeros(0).long()},
                "values",
            ),
        ]
    ),
    with_tensors("featurizer.pt", "one missing", lambda tensors: dict(list(tensors.items())[1:])),
    with_tensors("featurizer.pt", "one more", lambda tensors: {**tensors, "evil": torch.zeros(1)}),
    with_tensors("featurizer.pt", "a number by name", lambda tensors: {**tensors, "evil": 1}, "evil"),
]


def to_pipe(folder):
    (folder / "network.pt").unlink()
    os.mkfifo(folder / "network.pt")


def to_link(name, target):
    def mutate(folder):
        (folder / name).unlink()
        (folder / name).symlink_to(target)

    return mutate


def grow(folder):
    os.truncate(folder / CARD, 300 << 20)


def replace_by_folder(folder):
    (folder / "network.pt").unlink()
    (folder / "network.pt").mkdir()


FOLDERS = [
    with_folder("evil.py beside", lambda folder: (folder / "evil.py").write_text("1"), "evil.py"),
    with_folder("a folder beside", lambda folder: (folder / "evil").mkdir(), "evil"),
    with_folder("a hidden file beside", lambda folder: (folder / ".evil").write_text("1"), ".evil"),
    with_folder(
        "experiment.yaml beside",
        lambda folder: (folder / "experiment.yaml").write_text("a: &a [*a]"),
        "experiment.yaml",
    ),
    with_folder("a file is a folder", replace_by_folder, "network.pt"),
    with_folder("a file is a pipe", to_pipe, "network.pt"),
    with_folder("a file is a device", to_link("network.pt", "/dev/zero"), "network.pt"),
    with_folder("a file leads elsewhere", to_link("experiment.json", "/etc/passwd"), "damaged"),
    with_folder("the card leads elsewhere", to_link(CARD, "/etc/passwd"), "is not JSON"),
    with_folder("a file leads to itself", to_link("network.pt", "network.pt"), "network.pt"),
    with_folder("the card leads to itself", to_link(CARD, CARD), "no bundle"),
    with_folder("a card of 300 MB", grow, "larger than"),
]
MUTANTS = [*JSON, *CARDS, *RECIPES, *STATES, *TENSORS, *FOLDERS]
