"""The only door to ONNX Runtime, which reports its use to its makers over the network unless it is told not to."""

from __future__ import annotations

import os
from typing import Any

_SILENCE = "ORT_DISABLE_TELEMETRY"  # a variable of the environment, which is read at the import


def import_runtime() -> Any:
    """The module `onnxruntime`; it reports nothing, unless the user's environment says otherwise.

    Raises:
        ImportError: it is not installed; the extra `export` has it.
    """
    os.environ.setdefault(_SILENCE, "1")
    import onnxruntime

    return onnxruntime
