"""How many trials a minute, beside Hydra's basic launcher with the popular template's way, and beside joblib?

    python benchmarks/sweep.py [--trials 16]

Four learning rates on several seeds, an MLP of 2x64 at batch 256, 3 epochs of 100,000 flights, on two cores. What the
trials share (rows, features) is made before; each way then gives the same of each trial: the metrics of each epoch and
the best checkpoint.

- hydra: `python train.py -m lr=… seed=…` with the basic launcher, one trial after the other in one process, trained as
  projects made from the popular template for Lightning and Hydra do it: a Dataset that gives one row, a DataLoader that
  collates them, torchmetrics logged in each step, a progress bar, a CSV logger, a ModelCheckpoint;
- joblib: two processes that call our own training (`treadle.pipeline.run`);
- treadle: `treadle run -m … sweep.workers=2`.

Cold counts the whole command, imports too; warm the trials after the first two, by when each of them ended.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parents[1]
RATES = ("3e-4", "1e-3", "3e-3", "1e-2")
FIXED = (
    "experiment=flights",
    "model=mlp",
    "model.width=64",
    "model.num_layers=2",
    "features=flights",
    "schedule.batch_size=256",
    "schedule.max_epochs=3",
    "schedule.early_stopping=null",
    "trainer.limit_batches=390",
    "trainer.precision=32-true",
    "tracker=disabled",
)

TEMPLATE = """\
import json
import time
from pathlib import Path

import hydra
import pytorch_lightning as lightning
import torch
from omegaconf import DictConfig
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchmetrics import MeanMetric
from torchmetrics.classification import BinaryAccuracy

from treadle.bundle import build_model
from treadle.features.stored import load_rows

FOLDER = Path(__file__).parent


class Rows(Dataset):
    def __init__(self, split, limit):
        self.rows = load_rows(FOLDER / "features" / split, limit=limit)

    def __len__(self):
        return len(self.rows.target)

    def __getitem__(self, index):
        return self.rows.numeric[index], self.rows.ids[index], self.rows.target[index]


class Module(lightning.LightningModule):
    def __init__(self, network, lr):
        super().__init__()
        self.network, self.lr, self.criterion = network, lr, nn.BCEWithLogitsLoss()
        self.train_loss, self.val_loss = MeanMetric(), MeanMetric()
        self.train_acc, self.val_acc = BinaryAccuracy(), BinaryAccuracy()

    def model_step(self, batch):
        numeric, ids, target = batch
        output = self.network(numeric, ids)[:, 0]
        return self.criterion(output, target.float()), output.sigmoid(), target.int()

    def training_step(self, batch, index):
        loss, predicted, target = self.model_step(batch)
        self.train_loss(loss)
        self.train_acc(predicted, target)
        self.log("train/loss", self.train_loss, on_step=False, on_epoch=True, prog_bar=True)
        self.log("train/acc", self.train_acc, on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def validation_step(self, batch, index):
        loss, predicted, target = self.model_step(batch)
        self.val_loss(loss)
        self.val_acc(predicted, target)
        self.log("valid/loss", self.val_loss, on_step=False, on_epoch=True, prog_bar=True)
        self.log("valid/acc", self.val_acc, on_step=False, on_epoch=True, prog_bar=True)

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=self.lr)


@hydra.main(version_base="1.3", config_path=None, config_name="train")
def main(config: DictConfig) -> None:
    torch.set_num_threads(1)
    lightning.seed_everything(config.seed)
    inputs = json.loads((FOLDER / "features" / "inputs.json").read_text())
    network = build_model(
        json.loads((FOLDER / "network.json").read_text()),
        targets=["treadle.models."],
        num_numeric=len(inputs["numeric"]),
        cardinalities=inputs["cardinalities"],
        num_classes=len(inputs["classes"]),
    )
    output = Path(hydra.core.hydra_config.HydraConfig.get().runtime.output_dir)
    trainer = lightning.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=CSVLogger(output),
        callbacks=[ModelCheckpoint(dirpath=output, monitor="valid/loss")],
    )
    train = DataLoader(Rows("train", 390 * 256), batch_size=256, shuffle=True)
    valid = DataLoader(Rows("valid", 390 * 256), batch_size=256)
    trainer.fit(Module(network, config.lr), train, valid)
    with (FOLDER / "ends.txt").open("a") as file:
        file.write(f"{time.time()}\\n")


if __name__ == "__main__":
    main()
"""

JOBLIB = """\
import sys
import time
from pathlib import Path

from joblib import Parallel, delayed


def train(overrides):
    from treadle.check.resolve import resolve
    from treadle.pipeline import run

    run(resolve(overrides=overrides, root=Path.cwd()), root=Path.cwd(), upto="train", notify=lambda line: None)
    return time.time()


if __name__ == "__main__":
    *fixed, rates, seeds = sys.argv[1:]
    jobs = [[*fixed, f"schedule.optimizer.lr={r}", f"seed={s}"] for r in rates.split(",") for s in range(int(seeds))]
    ends = Parallel(n_jobs=2)(delayed(train)(job) for job in jobs)
    Path("ends.txt").write_text("\\n".join(map(str, ends)))
"""


def make_project(folder: Path, prepared: Path | None = None) -> Path:
    """A project with conf/ and data, and what was prepared before."""
    folder.mkdir()
    shutil.copytree(ROOT / "conf", folder / "conf")
    (folder / "data").symlink_to(ROOT / "data")
    if prepared is not None:
        shutil.copytree(prepared / "runs" / ".stages", folder / "runs" / ".stages", copy_function=os.link)
    return folder


def run(command: list[str], folder: Path) -> float:
    """Run a command; gives its seconds."""
    start = time.time()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(
        command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    return time.time() - start


def read_ends(folder: Path) -> list[float]:
    """When each trial ended [s]."""
    if (file := folder / "ends.txt").is_file():
        return sorted(map(float, file.read_text().split()))
    (ledger,) = folder.glob("sweeps/*/ledger.jsonl")
    events = map(json.loads, ledger.read_text().splitlines())
    return sorted(datetime.fromisoformat(event["at"]).timestamp() for event in events if event["event"] == "end")


def report(name: str, seconds: float, ends: list[float]) -> dict[str, float]:
    """Trials a minute, cold and warm."""
    warm = (len(ends) - 2) / (ends[-1] - ends[1]) * 60
    cold = len(ends) / seconds * 60
    print(f"{name:<8} {len(ends):3} trials  cold {cold:6.2f} a minute  warm {warm:6.2f} a minute", flush=True)
    return {"cold": cold, "warm": warm}


def main() -> None:
    """Run the three ways one after the other, and print ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=16)
    num_seeds = max(1, parser.parse_args().trials // len(RATES))
    treadle = [sys.executable, "-m", "treadle"]
    with tempfile.TemporaryDirectory() as scratch:
        base = make_project(Path(scratch) / "base")
        run([*treadle, "featurize", *FIXED], base)
        (prepared,) = base.glob("runs/.stages/featurize/*/features")

        hydra = Path(scratch) / "hydra"
        hydra.mkdir()
        (hydra / "train.py").write_text(TEMPLATE.replace("config_path=None", f'config_path="{hydra}"'))
        (hydra / "train.yaml").write_text("lr: 1e-3\nseed: 0\n")
        (hydra / "features").symlink_to(prepared)
        network = {
            "_target_": "treadle.models.mlp.Mlp",
            "num_layers": 2,
            "width": 64,
            "dropout": 0.0,
            "embedding_dim": 8,
        }
        (hydra / "network.json").write_text(json.dumps(network))
        sweep = [f"lr={','.join(RATES)}", f"seed={','.join(map(str, range(num_seeds)))}"]
        seconds = run([sys.executable, "train.py", "-m", *sweep], hydra)
        rates = {"hydra": report("hydra", seconds, read_ends(hydra))}

        joblib = make_project(Path(scratch) / "joblib", base)
        (joblib / "sweep.py").write_text(JOBLIB)
        seconds = run([sys.executable, "sweep.py", *FIXED, ",".join(RATES), str(num_seeds)], joblib)
        rates["joblib"] = report("joblib", seconds, read_ends(joblib))

        ours = make_project(Path(scratch) / "ours", base)
        axes = [f"schedule.optimizer.lr={','.join(RATES)}", f"seed=range({num_seeds})", "sweep.workers=2"]
        seconds = run([*treadle, "run", "-m", *FIXED, *axes], ours)
        rates["treadle"] = report("treadle", seconds, read_ends(ours))
        trials = len(list(product(RATES, range(num_seeds))))
        assert len(list(ours.glob("runs/*/bundle"))) == len(list(joblib.glob("runs/*/bundle"))) == trials
    for other in ("hydra", "joblib"):
        ratios = [f"{kind} {rates['treadle'][kind] / rates[other][kind]:.2f}" for kind in ("cold", "warm")]
        print(f"treadle : {other}  {'  '.join(ratios)}")


if __name__ == "__main__":
    main()
