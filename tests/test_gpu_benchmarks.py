"""The scripts meant for a machine with a GPU, each tried whole and small."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vitas_hw.runs.directory import Run
from vitas_hw.workflows.profile.settings import ProfileSettings

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))
sys.path.append(str(Path(__file__).parent.parent / "benchmarks/gpu"))
import rank_report
import rank_study
import torch

NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")


def write_fashion(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for part, count in (("train", 200), ("t10k", 30)):
        arrays = {"images-idx3": rng.integers(0, 256, (count, 28, 28)), "labels-idx1": np.arange(count) % 10}
        for name, array in arrays.items():
            header = (0x800 | array.ndim).to_bytes(4, "big") + b"".join(size.to_bytes(4, "big") for size in array.shape)
            (folder / f"{part}-{name}-ubyte").write_bytes(header + array.astype(np.uint8).tobytes())


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NEEDS_GPU])])
def test_the_rank_study_adds_rows_and_goes_on(device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_fashion(tmp_path)
    study = replace(
        rank_study.STUDIES["gpu"],
        alone_epochs=1,
        supernet_epochs=1,
        batch_size=32,
        device=device,
        data=f"fashion-mnist:{tmp_path}",
    )
    digest = rank_study.subnets()[0].digest
    wanted = [rank_study.Job("alone", digest, 0), rank_study.Job("supernet", "bilateral", 0)]
    monkeypatch.setattr(rank_study, "jobs", lambda: wanted)
    rank_study.train(1, 10, study, tmp_path)
    rows = rank_study.rows(study, tmp_path)
    assert [(row["kind"], row["images"], row["epochs"]) for row in rows] == [("alone", 180, 1), ("supernet", 180, 1)]
    assert set(rows[1]["top1"]) == {subnet.digest for subnet in rank_study.subnets()}
    rank_study.train(1, 10, study, tmp_path)
    assert rank_study.rows(study, tmp_path) == rows
    there = rank_report.report(rows, tmp_path, study)["there_of"]
    assert there["alone, seed 0"] == [1, rank_study.SUBNETS]
    assert json.loads((tmp_path / "rank_study_gpu.json").read_text())["environment"]["settings"]["images"] == 180


@pytest.mark.full
def test_searches_by_latency_and_by_macs_are_measured_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import search_target  # with what fits predictors, which a bare GPU machine lacks

    from vitas_hw.workflows.profile.profile import profile

    monkeypatch.setattr(search_target, "RANDOM", 2000)
    profiled = profile(Run(tmp_path / "run"), ProfileSettings(num_subnets=24, rounds=1), space="vitas-digits")
    search_target.run(profiled.profile, tmp_path, 300, 1, (0.6,), search_target.SMALL_EFFORT)
    result = json.loads((tmp_path / "search_target.json").read_text())
    (row,) = result["rows"]
    assert row["by_macs"]["macs"] <= row["by_latency"]["macs"]
    assert row["left_on_the_table"] == pytest.approx(row["by_macs"]["ms"] / row["by_latency"]["ms"] - 1, abs=1e-3)
    assert result["reference"]["name"] == "largest"
    assert row["ceiling_ms"] < result["reference"]["ms"] * 1.5
    search_target.plot(result, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000
