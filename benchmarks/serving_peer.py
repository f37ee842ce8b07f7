"""The peers of serving.py, in an environment of their own: one pipeline of scikit-learn, served in two ways.

python serving_peer.py train|fastapi|mlflow RUN FOLDER
"""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd

TRAINED = "pipeline.pkl"


def read(run: Path, split: str) -> tuple[Any, Any]:
    columns = json.loads((run / "bundle" / "bundle.json").read_text())["columns"]
    rows = pd.read_parquet(run / "examples" / f"{split}.parquet")
    numbers = [name for name, dtype in columns.items() if dtype in {"Int64", "Float64", "Boolean"}]
    texts = [name for name, dtype in columns.items() if dtype == "String"]
    return rows[numbers].astype(float).join(rows[texts].astype(object)), rows["label"]


def train(run: Path, folder: Path) -> None:
    import lightgbm
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder, QuantileTransformer

    inputs, label = read(run, "train")
    of_numbers = make_pipeline(SimpleImputer(strategy="median"), QuantileTransformer(output_distribution="normal"))
    of_texts = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)
    is_binary = label.nunique() == 2
    model = (lightgbm.LGBMClassifier if is_binary else lightgbm.LGBMRegressor)(n_jobs=1, verbose=-1)
    pipeline = make_pipeline(
        make_column_transformer(
            (of_numbers, make_column_selector(dtype_include=float)),
            (of_texts, make_column_selector(dtype_include=object)),
        ),
        model,
    )
    pipeline.fit(inputs, label)
    (folder / TRAINED).write_bytes(pickle.dumps(pipeline))
    if importlib.util.find_spec("mlflow.sklearn") is not None:
        import mlflow.sklearn

        how = "predict_proba" if is_binary else "predict"
        mlflow.sklearn.save_model(
            pipeline, str(folder / "mlflow"), pyfunc_predict_fn=how, serialization_format="pickle"
        )


def find_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def serve_fastapi(run: Path, folder: Path) -> None:
    import uvicorn
    from fastapi import FastAPI

    pipeline = pickle.loads((folder / TRAINED).read_bytes())  # noqa: S301 - our own
    inputs, _ = read(run, "test")
    names, texts = list(inputs.columns), list(inputs.select_dtypes(object).columns)
    ask = getattr(pipeline, "predict_proba", pipeline.predict)
    app = FastAPI()

    @app.post("/predict")
    def predict(row: dict[str, Any]) -> dict[str, float]:
        frame = pd.DataFrame([{name: row[name] for name in names}])
        frame = frame.astype({name: object if name in texts else float for name in names})
        return {"prediction": float(ask(frame).ravel()[-1])}

    port = find_port()
    print(f"http://127.0.0.1:{port}", flush=True)
    uvicorn.run(app, port=port, log_level="warning", access_log=False)


def serve_mlflow(_run: Path, folder: Path) -> None:
    port = find_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(folder / "mlflow"), "-p", str(port)]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # MLflow calls uvicorn by its name
    command += ["--env-manager", "local", "-w", "1"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, "PATH": path})
    while True:
        if process.poll() is not None:
            sys.exit(f"mlflow ended with {process.returncode}: {' '.join(command)}")
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            time.sleep(0.2)
    print(f"http://127.0.0.1:{port}", flush=True)
    process.wait()


def main() -> None:
    verb, run, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    {"train": train, "fastapi": serve_fastapi, "mlflow": serve_mlflow}[verb](run, folder)


if __name__ == "__main__":
    main()
