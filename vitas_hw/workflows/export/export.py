"""Exporting a subnet in several formats, each kept only if it computes what the model does."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from vitas_hw.core.deadline import NEVER, Deadline, TimeIsUpError
from vitas_hw.core.errors import InputError, VitasError
from vitas_hw.core.files import folder_beside, write_atomic
from vitas_hw.core.progress import SILENT, Progress
from vitas_hw.core.settings import what_decides
from vitas_hw.data.load import ImageData
from vitas_hw.data.splits import Split
from vitas_hw.export.engine_record import write_engine
from vitas_hw.export.first_difference import where_it_differs
from vitas_hw.export.onnx_export import activation_scales, model_graph, onnx_program
from vitas_hw.export.onnx_graph import CPU_WEIGHT_LIMIT
from vitas_hw.export.openvino_export import openvino_program, write_openvino
from vitas_hw.export.parity import (
    Batches,
    Exported,
    Floats,
    Parity,
    ParityError,
    Program,
    measure_parity,
    torch_program,
    with_fixed_batch,
)
from vitas_hw.export.timm_export import timm_program, write_timm
from vitas_hw.export.torch_export import exported_program, write_torch
from vitas_hw.report.model_card import model_card
from vitas_hw.runs.artifacts import load_run_predictor
from vitas_hw.runs.directory import Run, one_at_a_time
from vitas_hw.runs.subnets import Chosen, choose, data_for
from vitas_hw.workflows.export.settings import FORMATS, ExportSettings

_CALIBRATION, _BATCH = 256, 64


@dataclass(frozen=True, kw_only=True)
class Handed(Chosen):
    """A model that the caller has, of no run."""

    handed: VisionTransformer

    @cached_property
    def model(self) -> VisionTransformer:
        """That model."""
        return self.handed

    @property
    def weights(self) -> str:
        """Where they come from, in words."""
        return "those of the model that was handed over"


@dataclass(frozen=True)
class Export:
    """All that an export needs to know of its subject.

    Args:
        chosen: the subnet and its weights.
        data: to compare on; None where there are none.
        settings: what to write.
        engines: the folder of the run that keeps timings of kernels; None outside of a run.
        deadline: asked before each batch.
    """

    chosen: Chosen
    data: ImageData | None
    settings: ExportSettings
    engines: Path | None = None
    deadline: Deadline = NEVER

    @property
    def about(self) -> dict[str, object]:
        """What goes into every file."""
        about: dict[str, object] = {"weights": self.chosen.weights}
        if self.chosen.seed is not None:
            about["seed"] = self.chosen.seed
        if self.data is not None:
            about |= {"preprocessing": self.data.preprocessing.to_dict(), "class_names": self.data.class_names}
            about["data"] = self.data.name
        return about

    def batches(self) -> Batches:
        """Images of the test part, evenly spread; random ones without data."""
        subnet = self.chosen.subnet
        if self.data is None:
            count = min(self.settings.images, 16)
            shape = (count, subnet.in_chans, *subnet.image_size)
            yield np.random.default_rng(self.settings.seed).standard_normal(shape, np.float32), None
            return
        for images, labels in _some(self.data.test, self.settings.images).batches(_BATCH):
            self.deadline.check("an export was checked")
            yield images.numpy(), labels.numpy()

    def scales(self) -> dict[str, float]:
        """Of int8 activations, from images of the search part. Raises InputError without data."""
        if self.data is None:
            problem = "int8 needs images to calibrate on, and there are none."
            raise InputError(problem, "Name some: `data=folder:PATH`.", field="data")
        return activation_scales(self.chosen.model, self._calibrating(self.data.search))

    def _calibrating(self, split: Split) -> Iterator[Tensor]:
        for images, _ in _some(split, _CALIBRATION).batches(_BATCH):
            self.deadline.check("int8 was calibrated")
            yield images


def _some(split: Split, most: int) -> Split:
    if len(split) <= most:
        return split
    return split.subset(np.linspace(0, len(split) - 1, most).astype(int).tolist())


@one_at_a_time
def export(
    run: Run,
    settings: ExportSettings = ExportSettings(),  # noqa: B008  # frozen
    *,
    subnet: str | None = None,
    rank: int | None = None,
    output: Path | None = None,
    deadline: Deadline | None = None,
    progress: Progress = SILENT,
) -> list[Exported]:
    """Write a subnet in every format asked for; each file replaces an earlier one only once it has passed its checks.

    Args:
        run: whose choice, weights and data.
        settings: what to write.
        subnet, rank: see ``choose``.
        output: the file, or of several formats the file whose ending is replaced; None is a place in the run.
        deadline: when to stop; None is after the settings' ``max_time_s``. Formats that are done by then are kept.
        progress: where to report to.

    Raises:
        InputError: nothing to export, or no folder for it.
        VitasError: a file would not compute the same; it is not kept.
        TimeIsUpError: before the first format was checked.
    """
    deadline = deadline or Deadline.after(settings.max_time_s)
    with progress.step("loading the subnet and the images", 2) as advance:
        chosen = choose(run, subnet, rank=rank, seed=settings.seed)
        advance("")
        data = data_for(run, chosen.subnet, settings.data)
        advance("")
    paths = {name: _path(run, chosen, settings, name, output) for name in settings.formats}
    engines = run.engines if run.manifest.exists() else None
    export_ = Export(chosen, data, settings, engines, deadline)
    progress.note(f"weights of {chosen.name}: {chosen.weights}")
    if export_.data is None:
        progress.note("there are no data for its images and classes: the check uses random images")
    extraction = _extraction(export_)
    done: list[Exported] = []
    for name, path in paths.items():
        try:
            one = written(export_, name, path, extraction, progress)
        except TimeIsUpError:
            if not done:
                raise
            progress.note(f"time is up: not exported to {', '.join(list(paths)[len(done) :])}")
            break
        write_atomic(one.report, json.dumps(one.to_dict(), indent=1) + "\n")
        done.append(one)
    _card_and_record(run, export_, done)
    return done


def _path(run: Run, chosen: Chosen, settings: ExportSettings, name: str, output: Path | None) -> Path:
    if output is None:
        run.path.mkdir(parents=True, exist_ok=True)
        precision = settings.precision_of(name)
        suffix = FORMATS[name] if precision == "fp32" else f"-{precision}{FORMATS[name]}"
        return run.path / f"{chosen.name}{suffix}"
    path = output
    if len(settings.formats) > 1 or (name == "openvino" and output.suffix != ".xml"):
        path = output.with_name(f"{output.stem}{FORMATS[name]}")
    if path.is_dir() and name != "timm":
        raise InputError(f"{path} is a directory.", "Give a file, for example `output=model.onnx`.", field="output")
    if path.exists() and name == "timm" and not (path / "config.json").is_file():
        raise InputError(
            f"{path} exists already and is not a model's folder that timm reads.",
            "Give a new folder, for example `output=model`.",
            field="output",
        )
    if not path.parent.is_dir():
        raise InputError(f"The folder {path.parent} does not exist.", f"Run: mkdir -p {path.parent}", field="output")
    return path


def _extraction(export_: Export) -> Parity | None:
    """The supernet in place beside the extracted model. Raises VitasError if they differ."""
    chosen = export_.chosen
    supernet, extracted = chosen.supernet, chosen.extracted()
    if supernet is None or extracted is None:
        return None

    @torch.inference_mode()
    def in_place(images: Floats) -> Floats:
        logits: Floats = supernet(torch.from_numpy(images), chosen.subnet, chosen.side, chosen.layers).numpy()
        return logits

    parity = measure_parity(("supernet", in_place), {"extracted": torch_program(extracted)}, export_.batches())
    parity.check("extracted", "fp32")
    return parity


def written(export_: Export, name: str, path: Path, extraction: Parity | None, progress: Progress) -> Exported:
    """One format, checked in a folder beside its place, then moved there. Raises as ``export`` does."""
    settings, chosen = export_.settings, export_.chosen
    export_.deadline.check(f"the subnet was exported to {name}")
    precision = settings.precision_of(name)
    with folder_beside(path) as folder:
        made = folder / path.name
        with progress.step(f"exporting to {name}", 2) as advance:
            program, checked, graph = _make(export_, name, made)
            advance("written")
            parity = measure_parity(("torch", torch_program(chosen.model)), {name: program}, export_.batches())
            advance("compared with torch")
        try:
            parity.check(name, precision)
        except ParityError as error:
            where = where_it_differs(graph, chosen.model, _first_batch(export_), precision) if graph else ""
            raise VitasError(f"{error.problem} {where}".rstrip()) from error
        done = Exported(name, path, precision, parity, extraction, checked)
        if precision == "int8":
            _check_drop(export_, done)
        if precision != "fp32":
            done = replace(done, latency_ms=_before_and_after(export_, done, progress))
        _move(folder, path)
    return done


def _first_batch(export_: Export) -> Floats:
    images: Floats = next(iter(export_.batches()))[0]
    size = export_.settings.batch_size
    return images if size is None else np.resize(images, (size, *images.shape[1:]))


def _make(export_: Export, name: str, path: Path) -> tuple[Program, str, Any]:
    """Write one format to ``path``; how to run it, what that is in words, and its ONNX graph if it has one."""
    settings, chosen = export_.settings, export_.chosen
    if name == "timm":
        path.mkdir()
        write_timm(chosen.model, chosen.subnet, path, about=export_.about)
        return timm_program(path), "timm.create_model on the folder", None
    if name == "torch":
        write_torch(chosen.model, chosen.subnet, path, batch_size=settings.batch_size, metadata=export_.about)
        return with_fixed_batch(exported_program(path), settings.batch_size), "torch.export.load on the file", None
    # OpenVINO halves the weights itself, of the fp32 graph
    precision = "fp32" if (name, settings.precision) == ("openvino", "fp16") else settings.precision
    graph = model_graph(
        chosen.model,
        chosen.subnet,
        batch_size=settings.batch_size,
        precision=precision,
        opset=settings.opset,
        scales=export_.scales() if precision == "int8" else None,
        weight_limit=127 if name == "tensorrt" else CPU_WEIGHT_LIMIT,
        metadata={**export_.about, "precision": settings.precision},
    )
    model = graph.SerializeToString()
    if name == "openvino":
        texts = {prop.key: prop.value for prop in graph.metadata_props}
        write_openvino(model, path, half=settings.precision == "fp16", metadata=texts)
        program = openvino_program(path)
        return with_fixed_batch(program, settings.batch_size), "OpenVINO on the CPU, float32 hint, on the file", graph
    if name == "tensorrt":
        write_engine(
            model,
            chosen.subnet,
            path,
            precision=settings.precision,
            batch_sizes=None if settings.batch_size else (1, 1, _BATCH),
            compute_capabilities=settings.compute_capabilities,
            timings=export_.engines,
        )
        words = (
            "ONNX Runtime, without fusions, on the graph that the engine was built of; the engine itself was not run"
        )
        return with_fixed_batch(onnx_program(model, as_written=True), settings.batch_size), words, graph
    path.write_bytes(model)
    return with_fixed_batch(onnx_program(model), settings.batch_size), "ONNX Runtime on the CPU, on the file", graph


def _check_drop(export_: Export, done: Exported) -> None:
    """Raises VitasError if int8 costs too much top-1."""
    before, after = done.parity.top1, done.beside.top1
    assert before is not None
    assert after is not None
    allowed = export_.settings.max_drop
    if before - after > allowed:
        raise VitasError(
            f"The {done.format} export was not kept: in int8 top-1 falls from {before:.2%} to {after:.2%};"
            f" {allowed:.2%} less is allowed.",
            "Allow more with `max_drop`, or take `precision=fp16`.",
            field="max_drop",
        )


def _before_and_after(export_: Export, done: Exported, progress: Progress) -> dict[str, float]:
    """P50 by precision on this CPU, where the format's own runtime computes in both."""
    backend = {"onnx": "onnxruntime", "openvino": "openvino"}.get(done.format)
    if backend is None:
        return {}
    from vitas_hw.workflows.compare import precisions_side_by_side

    return precisions_side_by_side(
        export_.chosen.subnet, backend, ("fp32", done.precision), progress, deadline=export_.deadline
    )


def _move(folder: Path, path: Path) -> None:
    """Everything in the folder to beside ``path``, the file of that name last."""
    for made in sorted(folder.iterdir(), key=lambda made: made.name == path.name):
        place = path.with_name(made.name)
        if place.is_dir():
            shutil.rmtree(place)
        made.replace(place)


def _card_and_record(run: Run, export_: Export, done: Sequence[Exported]) -> None:
    this = {"step": "export", "command": sys.argv[1:], "settings": {"seed": export_.settings.seed}}
    steps = [*run.read()["steps"], this]
    text = model_card(
        export_.chosen, export_.data, done, _target(run, export_.chosen), steps, export_.settings.batch_size
    )
    for one in done:
        write_atomic(one.card, text)
    if run.manifest.exists():  # last: one that is killed before it has not been, and the next one's card tells of one
        settings = what_decides(export_.settings) | {"subnet": export_.chosen.subnet.to_dict()}
        files = [one.path for one in done if one.path.is_file()] + [one.report for one in done]
        run.record("export", run.space(None), settings, list(export_.chosen.inputs), files)


def _target(run: Run, chosen: Chosen) -> str | None:
    """Of the latency that the search which the subnet is from predicted."""
    if chosen.result is None or not run.predictors.is_dir() or chosen.result.of(chosen.subnet).predicted_ms is None:
        return None
    return load_run_predictor(run)[0].target.slug
