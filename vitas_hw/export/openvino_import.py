"""OpenVINO without its telemetry."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any


def load_openvino() -> Any:
    """The module ``openvino``. Raises ImportError if it is not installed.

    Its import sends a message to its makers from a process that it forks out of a thread: without a network, or with
    other threads about, that process may hang for ever, holding whatever its parent had open. OpenVINO does without
    the package that does this where it is missing; so it is hidden, unless somebody has loaded it before.
    """
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # how Python says: not there
    return import_module("openvino")
