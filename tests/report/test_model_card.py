"""A model card shows what others named as it is: nothing of it becomes a heading, a link, HTML or a command."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from vitas_hw.core.published import published_subnet
from vitas_hw.data.preprocessing import Preprocessing
from vitas_hw.export.parity import Agreement, Exported, Parity
from vitas_hw.report.model_card import model_card
from vitas_hw.runs.subnets import Chosen

BAD = "x\n# h <img onerror=1> ![](http:a) \x1b[31m"
PARITY = Parity("torch", 10, 1.0, 0.5, {"onnx": Agreement(1e-6, 1.0, 0.5)})


def card(names: list[str], *, name: str = "choice", command: list[str] | None = None) -> str:
    subnet = published_subnet("vitas-c")
    chosen = Chosen(word="choice", name=name, subnet=subnet, weights_file=Path("x"), said=f"those of {name}")
    how = Preprocessing((224, 224), (0.5,), (0.5,), "bilinear")
    data: Any = SimpleNamespace(name="folder:a`b", class_names=names, preprocessing=how)
    one = Exported("onnx", Path("a|b.onnx"), "fp32", PARITY, None, "ONNX Runtime")
    steps = [{"step": "export", "command": command or ["export"], "settings": {"seed": 0}}]
    return model_card(chosen, data, [one], None, steps)


def test_names_of_others_make_no_markup() -> None:
    text = card([BAD, "tench, Tinca tinca", "snow_leopard"], name=BAD)
    assert text.replace("\n", "").isprintable()
    assert "<img" not in text
    assert "![" not in text
    assert [line for line in text.splitlines() if line.startswith("# ")] == [text.splitlines()[0]]
    shown = r"x \# h &lt;img onerror=1> \!\[\](http:a) ?\[31m"
    assert f"Classes: {shown}, tench, Tinca tinca, snow_leopard." in text
    assert text.startswith(f"# {shown}\n")


def test_what_is_code_stays_code() -> None:
    text = card([], command=["export", "--output", "my model`.onnx", "$(rm -rf ~)"])
    assert "`` vitas-hw export --output 'my model`.onnx' '$(rm -rf ~)' ``" in text
    assert "of the test part of `` folder:a`b ``." in text
    assert r"| `a\|b.onnx` |" in text
