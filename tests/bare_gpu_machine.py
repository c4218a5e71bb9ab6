"""A pytest plugin: what is installed here and not on a bare machine with a GPU cannot be imported.

That machine has PyTorch, torchvision, timm, onnx, onnxruntime, scikit-learn, scipy, typer and pytest; what else it may have is
not counted on.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

LACKS = ("xgboost", "pydantic", "pydantic_core", "pymoo", "moocore", "openvino", "ray", "tensorrt", "tensorrt_rtx")
ALSO = ("matplotlib", "hypothesis", "vl_convert", "webdataset", "datasets", "atheris", "playwright")
_found = PathFinder.find_spec


@classmethod  # type: ignore[misc]
def find_spec(
    cls: type, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
) -> ModuleSpec | None:
    """None for those, as if they were not there."""
    return None if fullname.partition(".")[0] in LACKS + ALSO else _found(fullname, path, target)


PathFinder.find_spec = find_spec  # type: ignore[method-assign, assignment]
