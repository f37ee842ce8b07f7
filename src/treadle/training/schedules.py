"""Learning-rate schedules: factors of the configured rate, by step."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from treadle.schema import Fraction

Factor = Callable[[int], float]  # step, counted from 0 -> factor


def constant(*, num_steps: int, warmup: Fraction) -> Factor:
    """Linear warm-up, then a constant learning rate.

    Args:
        num_steps: number of steps of the whole training.
        warmup: fraction of the steps over which the learning rate rises to the configured one.
    """
    return partial(_constant, warmup=round(warmup * num_steps))


def cosine(*, num_steps: int, warmup: Fraction, final_factor: Fraction) -> Factor:
    """Linear warm-up, then cosine annealing to `final_factor`.

    Source: "SGDR: Stochastic Gradient Descent with Warm Restarts", arXiv 1608.03983, without restarts.

    Args:
        num_steps: number of steps of the whole training.
        warmup: fraction of the steps over which the learning rate rises to the configured one.
        final_factor: the last learning rate, as a multiple of the configured one.
    """
    rise = _count_rise(warmup, num_steps)
    return partial(_cosine, first=0.0, rise=rise, num_steps=num_steps, last=final_factor)


def one_cycle(*, num_steps: int, peak: Fraction, initial_factor: Fraction, final_factor: Fraction) -> Factor:
    """Linear rise from `initial_factor` to 1 until `peak`, then cosine annealing to `final_factor`.

    Source: "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates", arXiv 1708.07120.

    Args:
        num_steps: number of steps of the whole training.
        peak: fraction of the steps after which the learning rate is the configured one.
        initial_factor: the first learning rate, as a multiple of the configured one.
        final_factor: the last learning rate, as a multiple of the configured one.
    """
    rise = _count_rise(peak, num_steps)
    return partial(_cosine, first=initial_factor, rise=rise, num_steps=num_steps, last=final_factor)


def _constant(step: int, *, warmup: int) -> float:
    return min(1.0, (step + 1) / (warmup + 1))


def _cosine(step: int, *, first: float, rise: int, num_steps: int, last: float) -> float:
    if step < rise:
        return first + (1.0 - first) * (step + 1) / (rise + 1)
    done = min(1.0, (step - rise) / max(1, num_steps - rise))
    return last + (1.0 - last) * (1.0 + math.cos(math.pi * done)) / 2.0


def _count_rise(share: float, num_steps: int) -> int:
    """Leave a step to fall from, however few there are: after the last one the factor is the final one."""
    return min(round(share * num_steps), num_steps - 1)
