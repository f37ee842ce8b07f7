"""A challenger within the server, which waits for it: no row is dropped, and nothing depends on how fast it is.

This is for a server on a simulated clock; where somebody waits for an answer, a process of its own does the same.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from treadle.serving.answering import Answerer
from treadle.serving.log import PredictionLog
from treadle.serving.metrics import Metrics
from treadle.serving.shadow import Asked, record_answers

LOGGER = logging.getLogger("treadle.serving")


class InlineShadow:
    """Asks a challenger what the server has answered, one and the same as long as the server lives.

    Args:
        answerer: of its bundle.
        digest: of its bundle.
        log: for its outputs.
        model: name of the model.
        metrics: where rows are counted.
    """

    is_ready = True

    def __init__(
        self, answerer: Answerer, digest: str, *, log: PredictionLog | None, model: str, metrics: Metrics
    ) -> None:
        self._answerer, self._model, self._metrics = answerer, model, metrics
        self.digest, self.log = digest, log
        self.fault: str | None = None  # of the last time that it was asked

    def offer(self, asked: Sequence[Asked]) -> None:
        """Ask it, too; where it fails, the server goes on."""
        began = time.perf_counter()
        try:
            answers = self._answerer.ask([one.row for one in asked], moments=[one.moment for one in asked])
        except Exception as error:  # noqa: BLE001 - whatever it is, the server goes on and tells it
            self.fault = f"{type(error).__name__}: {error}"
            LOGGER.error("the shadow does not answer: %s", self.fault)  # noqa: TRY400 - it says what is wrong
            self._metrics.count_shadow(self._model, self.digest[:12], "failed", len(asked))
            return
        self.fault = None
        record_answers(
            asked,
            [answer.prediction for answer in answers],
            digest=self.digest,
            seconds=time.perf_counter() - began,
            log=self.log,
            model=self._model,
            metrics=self._metrics,
        )

    def look(self) -> None:
        """It stays."""

    def close(self) -> None:
        """Its log is left to be closed."""
