"""The pipeline: stages in order, in a run folder that one process at a time may write, over a cache by signature.

runs/<name>-<id>/       one run: the stages' outputs, resolved.yaml, stages.json, digests.json, run.log, wandb/
runs/.stages/<stage>/   outputs by signature with their digests, hard-linked into every run that shares them
"""

from treadle.pipeline.plan import plan_run, plan_runs, plan_stage
from treadle.pipeline.record import CodeOrigin, Run
from treadle.pipeline.run import run, run_stage
from treadle.pipeline.verify import verify

__all__ = ["CodeOrigin", "Run", "plan_run", "plan_runs", "plan_stage", "run", "run_stage", "verify"]
