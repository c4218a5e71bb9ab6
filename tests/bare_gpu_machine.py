"""A pytest plugin: what is installed here and not on a bare machine with a GPU cannot be imported.

That machine has PyTorch, torchvision, timm, onnx, onnxruntime, scikit-learn, scipy, matplotlib, typer, hypothesis and
pytest.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

LACKS = ("xgboost", "pydantic", "pydantic_core", "pymoo", "moocore", "openvino", "ray", "tensorrt", "tensorrt_rtx")
ALSO = ("vl_convert", "webdataset", "datasets", "atheris", "playwright")


class Bare(MetaPathFinder):
    """Refuses them as if they were not there."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] in LACKS + ALSO:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return None


sys.meta_path.insert(0, Bare())
