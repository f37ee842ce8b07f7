"""ONNX Runtime reports nothing to its makers."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("onnxruntime")


@pytest.mark.parametrize(
    ("given", "wanted"), [({}, "1"), ({"ORT_DISABLE_TELEMETRY": "0"}, "0")], ids=["silent", "asked"]
)
def test_it_is_silent_before_it_is_imported_unless_the_environment_says_otherwise(given, wanted):
    code = (
        "import os, sys, treadle.onnx_runtime as door; assert 'onnxruntime' not in sys.modules; "
        "door.import_runtime(); print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"} | given

    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)

    assert done.stdout.strip() == wanted
