"""Written files as their own libraries read them, where vitas_hw cannot be imported."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from timm.models.vision_transformer import VisionTransformer
from written import READERS, UNIFORM, write

from vitas_hw.core.published import published_subnet
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Block, Subnet
from vitas_hw.export.openvino_export import openvino_program
from vitas_hw.export.parity import torch_program
from vitas_hw.export.timm_export import timm_architecture, timm_program
from vitas_hw.export.torch_export import exported_program
from vitas_hw.supernet.plain import build_model

# runs one of READERS as on a machine without us: python -I -c BARE FORBIDDEN CODE MODEL IMAGES LOGITS
BARE = """
import sys
forbidden = sys.argv[1].split(",")
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in forbidden:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
try:
    import vitas_hw
except ModuleNotFoundError:
    import numpy as np
    model, images = sys.argv[3], np.load(sys.argv[4])
    exec(sys.argv[2])
    np.save(sys.argv[5], logits)
else:
    sys.exit("this machine has vitas_hw")
"""
# besides us; torch itself looks whether others are there, so nothing more can be hidden from it
OTHERS = {"onnx": ",torch,timm,onnx", "xml": ",torch,timm,onnx,onnxruntime", "pt2": "", "timm": ""}


@pytest.fixture(params=["of blocks", "uniform"])
def subnet(request: pytest.FixtureRequest, small: SearchSpace) -> Subnet:
    return UNIFORM if request.param == "uniform" else small.sample(3)


@pytest.fixture
def model(subnet: Subnet, randomise: Callable[[object, int], None]) -> VisionTransformer:
    model = build_model(subnet).eval()
    randomise(model, 0)
    return model


@pytest.mark.parametrize("kind", READERS)
def test_a_file_runs_without_us(kind: str, model: VisionTransformer, subnet: Subnet, tmp_path: Path) -> None:
    path = tmp_path / f"model.{kind}"
    write(model, subnet, kind, path)
    images = np.random.default_rng(0).standard_normal((5, 1, 32, 32), np.float32)
    np.save(tmp_path / "images.npy", images)
    logits = tmp_path / "logits.npy"
    words = [f"vitas_hw{OTHERS[kind]}", READERS[kind], str(path), str(tmp_path / "images.npy"), str(logits)]
    done = subprocess.run([sys.executable, "-I", "-c", BARE, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert np.abs(np.load(logits) - torch_program(model)(images)).max() < 1e-5


def test_programs_read_back_are_the_model(model: VisionTransformer, subnet: Subnet, tmp_path: Path) -> None:
    images = np.random.default_rng(1).standard_normal((3, 1, 32, 32), np.float32)
    expected = torch_program(model)(images)
    for kind, program in (("timm", timm_program), ("pt2", exported_program), ("xml", openvino_program)):
        write(model, subnet, kind, tmp_path / f"model.{kind}")
        assert np.abs(program(tmp_path / f"model.{kind}")(images) - expected).max() < 1e-5


def test_timm_reads_preprocessing_and_labels(model: VisionTransformer, subnet: Subnet, tmp_path: Path) -> None:
    import timm

    from vitas_hw.export import vitas_subnet  # noqa: F401  # registers the name

    write(model, subnet, "timm", tmp_path / "folder")
    made = timm.create_model(f"local-dir:{tmp_path / 'folder'}", pretrained=True)
    how = timm.data.resolve_model_data_config(made)
    assert (how["input_size"], *how["mean"], *how["std"], how["crop_pct"]) == ((1, 32, 32), 0.5, 0.2, 1.0)
    assert list(made.pretrained_cfg["label_names"]) == list("abcdefghij")
    config = json.loads((tmp_path / "folder/config.json").read_text())
    assert Subnet.from_dict(config["vitas_hw"]["subnet"]) == subnet


def test_timms_own_names_are_taken_where_they_fit() -> None:
    assert timm_architecture(published_subnet("deit-ti"))[0] == "deit_tiny_patch16_224"
    assert timm_architecture(published_subnet("deit-s"))[0] == "deit_small_patch16_224"
    assert timm_architecture(published_subnet("vitas-c"))[0] == "vitas_subnet"
    name, arguments = timm_architecture(UNIFORM)
    assert (name, int(36 * arguments["mlp_ratio"])) == ("vit_tiny_patch16_224", 41)
    for hidden in range(1, 800):  # int(dim * ratio) loses one of some
        block = Block(6, 64, hidden)
        _, arguments = timm_architecture(replace(published_subnet("deit-s"), blocks=(block,)))
        assert int(384 * arguments["mlp_ratio"]) == hidden
