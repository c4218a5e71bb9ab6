"""What the fuzzers call: every reader of files that strangers make. Anything but a sentence for the user is a bug."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import struct
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import onnx
import torch
from mutations import (
    Mutator,
    lines,
    onnx_graph,
    onnx_metadata,
    png,
    resealed,
    safetensors,
    values,
    yaml_values,
    zipped,
)
from PIL import Image
from safetensors.torch import save

from vitas_hw.cli.config import read_config
from vitas_hw.core.budget import COSTS, THROUGHPUT, Budget, parse_duration, parse_range
from vitas_hw.core.errors import VitasError
from vitas_hw.core.records import to_json
from vitas_hw.core.subnet import Block, Subnet
from vitas_hw.core.target import Target
from vitas_hw.data.image_files import decoded
from vitas_hw.data.preprocessing import Preprocessing
from vitas_hw.data.sources import fashion_mnist
from vitas_hw.data.splits import Split
from vitas_hw.export.engine_record import EngineRecord, read_record, record_path, sha256
from vitas_hw.export.onnx_export import model_graph
from vitas_hw.predictors.predictor import read_predictor, read_table_predictor
from vitas_hw.predictors.table import read_table
from vitas_hw.profiling.imported import COLUMNS, read_bundle, read_results
from vitas_hw.profiling.journal import Journal
from vitas_hw.profiling.profile import load_profile
from vitas_hw.profiling.selection import load_subnets
from vitas_hw.report import page
from vitas_hw.report.collect import collect
from vitas_hw.report.runs import list_runs
from vitas_hw.runs.artifacts import load_run_data, read_training, run_depth_shares
from vitas_hw.runs.directory import Run
from vitas_hw.runs.shrunk import Model, Shrunk, read_shrunk
from vitas_hw.runs.space_file import load_space
from vitas_hw.runs.subnets import subnets_named
from vitas_hw.searching.archive import Archive, evaluation_times
from vitas_hw.searching.result import load_result, ties_words
from vitas_hw.searching.scores import Score
from vitas_hw.supernet.original import load_original
from vitas_hw.supernet.plain import build_model
from vitas_hw.supernet.weights_file import load_model, load_supernet, subnet_of
from vitas_hw.training.checkpoint import load_state
from vitas_hw.training.evaluate import subnet_accuracy
from vitas_hw.training.health import Baseline, Group, Health
from vitas_hw.workflows.classify import ClassifySettings, classify

sys.path.insert(0, str(Path(__file__).parent.parent / "data"))
from test_gallery import RIGHT, transparent  # what people have, made there

OLD = Path(__file__).parent.parent / "older_files" / "v1"
RUN = OLD / "run"
_SPACE = load_space(str(OLD / "space.yaml"))
_FOLDER = TemporaryDirectory(prefix="vitas-hw-fuzz-")
_MOST_MS = 1e9  # eleven days: a latency beyond it is not sane
Read = Callable[[bytes], object]


@dataclass(frozen=True)
class Reader:
    """What reads, and how its files are spoiled.

    Args:
        read: gives what was read, whose numbers are looked at; raises VitasError on what cannot be read.
        seeds: good files to begin from.
        mutators: beside ``blind``.
        share: of the inputs of a long run; slow readers have fewer.
    """

    read: Read
    seeds: tuple[bytes, ...]
    mutators: tuple[Mutator, ...] = ()
    share: float = 1.0


def _file(name: str, data: bytes) -> Path:
    path = Path(_FOLDER.name) / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def _predictor(data: bytes) -> object:
    predictor = read_predictor(_file("p.json", data))
    space = predictor.space
    found = predictor.predict([space.smallest, space.largest, space.sample(0)])
    assert ((found.latency_ms > 0) & (found.latency_ms <= _MOST_MS)).all(), found
    return found, predictor.metrics


def _table_predictor(data: bytes) -> object:
    predictor = read_table_predictor(_file("t.json", data))
    found = predictor.predict(np.array([[1.0] * len(predictor.names), [1e6] * len(predictor.names)]))
    assert (found.latency_ms > 0).all(), found
    return found, predictor.regression.metrics


def _budget(data: bytes) -> None:
    text = data.decode("utf-8", errors="replace")
    for read in (
        lambda: parse_duration(text),
        lambda: Target.from_slug(text),
        *(_range(text, cost) for cost in (*COSTS, THROUGHPUT)),
    ):
        try:
            assert not list(insane(read()))
        except VitasError as error:
            assert len(str(error)) < 1000


def _range(text: str, cost: str) -> Callable[[], object]:
    return lambda: parse_range(text, cost)


def _profile(data: bytes) -> object:
    profile = load_profile(_file("p.jsonl", data))
    return profile, [(one.latency_ms, one.percentile(99)) for one in profile.ok]


def _journal(data: bytes) -> object:
    return Journal.open(_file("j.jsonl", data), _header_of(OLD / "journal.jsonl"))


def _evaluations(data: bytes) -> object:
    path = _file("e.jsonl", data)
    times = evaluation_times(path)
    archive = Archive.open(path, _header_of(OLD.parent / "v2" / "evaluations.jsonl"))
    return times, archive.known(1), archive.latencies(""), archive.final


def _header_of(path: Path) -> dict[str, Any]:
    """Of a journal, without what every journal has: with another one nothing of the file would be read."""
    header = json.loads(path.read_text().splitlines()[0])
    return {name: value for name, value in header.items() if name not in ("schema", "kind")}


def _results(data: bytes) -> object:
    return read_results(_file("results.csv", data), OLD / "bundle.json")


def _table(data: bytes) -> object:
    table = read_table(_file("t.csv", data), "ms")
    return table.values, table.target, table.groups


def _search(data: bytes) -> object:
    result = load_result(_file("search.json", data), RUN / "candidates.jsonl")
    return result, result.front, result.violations, ties_words(result)


def _candidates(data: bytes) -> object:
    result = load_result(RUN / "search.json", _file("candidates.jsonl", data))
    return result, result.front


def in_a_run(name: str) -> Read:
    """Reads a file of a run as the report, the list of runs and the next steps do."""

    def read(data: bytes) -> object:
        folder = Path(_FOLDER.name) / "runs"
        path = folder / "run"
        if not path.exists():
            shutil.copytree(RUN, path)
        (path / name).write_bytes(data)
        try:
            summaries = list_runs(folder)
            found = collect(Run(path))
            with patch.object(page, "_library", str):  # Vega's script: making it takes gigabytes of addresses
                page.render(found)
            run_depth_shares(Run(path))
            return summaries, found, read_training(Run(path))
        finally:
            if (RUN / name).exists():
                shutil.copyfile(RUN / name, path / name)
            else:
                (path / name).unlink()

    return read


def _data(data: bytes) -> object:
    run = Run(_file("data/data.json", data).parent)
    return load_run_data(run, _SPACE).to_dict()


def _config(data: bytes) -> object:
    return read_config(_file("c.yaml", data), "search", {"seed", "latency", "flops", "params", "population", "run"})


def _manifest_as_config(data: bytes) -> object:
    return read_config(_file("c.json", data), "search", {"seed", "latency", "flops", "params", "population", "run"})


def _shrunk(data: bytes) -> object:
    return read_shrunk(Run(_file("shrunk/shrink.json", data).parent))


def _engine_record(data: bytes) -> object:
    engine = _file("x.engine", b"engine")
    _file(record_path(engine).name, data)
    return read_record(engine)


def _supernet(data: bytes) -> object:
    supernet = load_supernet(_file("supernet.safetensors", data))
    space = supernet.space
    pixels = torch.zeros(2, space.in_chans, *space.image_size, dtype=torch.uint8)
    size = Preprocessing(space.image_size, (0.5,) * space.in_chans, (0.5,) * space.in_chans, "bilinear")
    found = subnet_accuracy(supernet, space.smallest, Split(pixels, torch.zeros(2, dtype=torch.int64), (0, 1), size))
    return Score.of(found.losses, found.top1, 2), supernet.state_dict()


def _model(data: bytes) -> object:
    path = _file("model.safetensors", data)
    subnet_of(path)
    model, subnet = load_model(path)
    return subnet, model.state_dict()


def _weights(ending: str) -> Read:
    space = load_space("autoformer-tiny")  # whose heads are 64 wide, as a checkpoint alone is taken to be

    def read(data: bytes) -> object:
        original = load_original(str(_file(f"w{ending}", data)), space)
        return original.subnet, original.weights

    return read


def _folder(data: bytes) -> object:
    _file("hf/model.safetensors", _FOREIGN)
    original = load_original(str(_file("hf/config.json", data).parent))
    return original.subnet, original.weights


def _checkpoint(data: bytes) -> object:
    state = load_state(_file("training.pt", data), {"seed": 0})
    return state and vars(state)


def _image(data: bytes) -> object:
    path = str(_file("image.png", data))
    array = np.asarray(_PREPROCESSING.fit(decoded(path, path)))
    assert array.shape == (24, 32, 3), array.shape
    assert array.dtype == np.uint8, array.dtype
    return None


def _idx(data: bytes) -> object:
    """The training images; the other three files are good."""
    folder = _file("idx/train-images-idx3-ubyte.gz", data).parent
    (folder / "train-images-idx3-ubyte").unlink(missing_ok=True)
    labels = gzip.compress(struct.pack(">II", 0x801, 2) + b"\1\2")
    _file("idx/train-labels-idx1-ubyte.gz", labels)
    _file("idx/t10k-labels-idx1-ubyte.gz", labels)
    _file("idx/t10k-images-idx3-ubyte.gz", _IDX)
    found = fashion_mnist(str(folder))
    return [np.asarray(found.train.image(0)), found.train.labels]


def _classify(model: bytes, picture: bytes) -> object:
    rows = classify(
        _file("c.onnx", model), [_file("seen.png", picture), Image.new("L", (9, 7))], ClassifySettings(top=3)
    )
    for row in rows:
        assert 0 <= row.share <= 1, row
        assert row.classes[0] == (row.label, row.share), row
    return tuple(rows)


def _classifying_file() -> bytes:
    """An export with data, as ``classify`` reads it."""
    how = Preprocessing((8, 8), (0.5,), (0.25,), "bilinear", 0.9)
    about = {"preprocessing": how.to_dict(), "class_names": ["disc", "square"]}
    return bytes(model_graph(_PLAIN, _TINY, metadata=about).SerializeToString())


def _onnx_metadata(data: bytes) -> object:
    """Nothing reads a stranger's ONNX file; words of strangers, such as names of classes, are written into ours."""
    words = data.decode("utf-8", errors="replace")
    graph = onnx.load_from_string(model_graph(_PLAIN, _TINY, metadata={"class_names": [words]}).SerializeToString())
    told = {prop.key: json.loads(prop.value) for prop in graph.metadata_props}
    assert told["class_names"] == [words]
    return None


_PREPROCESSING = Preprocessing((24, 32), (0.5,) * 3, (0.5,) * 3, "bilinear")
_TINY = Subnet((8, 8), 1, 8, 64, (Block(1, 64, 16),), 2)
_PLAIN = build_model(_TINY)
_FOREIGN = save({name: value.contiguous() for name, value in _PLAIN.state_dict().items()})
_IDX = gzip.compress(struct.pack(">IIII", 0x803, 2, 28, 28) + bytes(2 * 28 * 28))
_BUDGETS = b"4ms-5.5ms 90s 1e3M box-torch-fp32-b1-t1-i32"
_TABLES = (  # of others: spreadsheets, nn-Meter's and HW-NAS-Bench's columns
    b"\xef\xbb\xbfmodel,flops(M),params(M),ms\r\n" + b'"a, b",1.5,2,0.25\r\n"=cmd()",3,4,1e-1\r\n' * 15,
    b"id;flops;ms\n" + b"1;2;3\n" * 25,
    b"id,cortexA76cpu_tflite21,adreno640gpu_tflite21,ms\n" + b"mobilenetv1_0,18.03,7.9,4.2\n" * 25,
)
_CONFIG = b"latency: 5ms\nseed: 3\npopulation: 4\nrun: runs/x\nflops: 1G-2G\n"
_CLASSES = "\N{CAT}\n# x\x1b[31m<img onerror=x>".encode()
_PICTURES = (
    *(content for content, *_ in RIGHT.values()),
    *(lambda made: [transparent("RGBA").save(made, "PNG"), made.getvalue()][1:])(io.BytesIO()),
)


def _of_today() -> bytes:
    """A ``train.json`` with what later versions added."""
    told = json.loads((RUN / "train.json").read_text())
    groups = (Group("size", "smallest", 0.5, 0.9, 0.0, 0.0), Group("size", "largest", 0.4, 0.92, 0.1, 0.01))
    health = Health(360, groups, ("Train for longer.",), Baseline(0.1, 0.9, 1077))
    del told["identity_probability"]
    shares = {"depth_shares": [0.5, 0.5], "block_shares": [1, 0.5]}
    return json.dumps(told | shares | {"health": health.to_dict()}).encode()


def _results_seed() -> bytes:
    """Two samples of each of a bundle's visits."""
    visits = read_bundle(OLD / "bundle.json").visits
    rows = [f"{digest},{name},{number},{k},1.5{k}" for name, number, digest in visits for k in (0, 1)]
    return "\n".join([",".join(COLUMNS), *rows, ""]).encode()


def _shrink_seed() -> bytes:
    large, small, budget = Model(_TINY, 3.0, 0.95), Model(_TINY, 1.5, 0.9), Budget.parse(latency="2ms")
    shrunk = Shrunk("box-torch-fp32-b1-t1-i32", budget, large, small, "choice.onnx")
    return json.dumps({"schema": 1, **shrunk.to_dict()}).encode()


def _engine_seed() -> bytes:
    record = EngineRecord(
        library="tensorrt",
        version="10.13",
        device="NVIDIA H200",
        compute_capabilities=("9.0",),
        precision="fp16",
        subnet=_TINY,
        engine_sha256=sha256(b"engine"),
    )
    return json.dumps({"schema": 1, **to_json(record)}).encode()


def _torch_file() -> bytes:
    made = io.BytesIO()
    torch.save({"model": dict(_PLAIN.state_dict())}, made)
    return made.getvalue()


def _seeds(*paths: Path) -> tuple[bytes, ...]:
    return tuple(path.read_bytes() for path in paths)


def _predictors(*kinds: str) -> tuple[bytes, ...]:
    return _seeds(*(OLD / f"predictor-{kind}.json" for kind in kinds))


_HF = {"model_type": "vit", "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 1, "patch_size": 8}
_HF |= {"intermediate_size": 16, "num_channels": 1, "image_size": 8, "layer_norm_eps": 1e-6, "hidden_act": "gelu"}
_TIMM = {"vitas_hw": {"subnet": _TINY.to_dict()}}

TARGETS: dict[str, Reader] = {
    "profile": Reader(_profile, _seeds(OLD / "profile.jsonl"), (lines,)),
    "predictor": Reader(_predictor, _predictors("xgboost", "linear", "flops", "transfer", "lookup"), (values,)),
    "resealed predictor": Reader(
        _predictor, _predictors("xgboost", "linear", "flops", "transfer", "lookup", "mlp"), (resealed,) * 3, share=2
    ),
    "table predictor": Reader(_table_predictor, _predictors("table"), (resealed, resealed)),
    "subnet": Reader(
        lambda data: Subnet.from_json(data.decode("utf-8", errors="replace")), _seeds(OLD / "subnet.json"), (values,)
    ),
    "subnets": Reader(lambda data: load_subnets(_file("s.jsonl", data), _SPACE), _seeds(OLD / "subnet.json"), (lines,)),
    "words for subnets": Reader(
        lambda data: subnets_named(str(_file("w.json", data)), _SPACE), _seeds(OLD / "subnet.json"), (lines, values)
    ),
    "space": Reader(
        lambda data: load_space(_file("s.yaml", data)), _seeds(OLD / "space.yaml"), (yaml_values, yaml_values)
    ),
    "configuration": Reader(_config, (_CONFIG,), (yaml_values,)),
    "manifest as configuration": Reader(_manifest_as_config, _seeds(RUN / "run.json"), (values,), share=0.1),
    "journal": Reader(_journal, _seeds(OLD / "journal.jsonl"), (lines,)),
    "evaluations": Reader(_evaluations, _seeds(OLD.parent / "v2" / "evaluations.jsonl"), (lines,)),
    "bundle": Reader(lambda data: read_bundle(_file("b.json", data)), _seeds(OLD / "bundle.json"), (values,)),
    "results": Reader(_results, (_results_seed(),)),
    "table": Reader(_table, (*_seeds(OLD / "table.csv"), *_TABLES)),
    "search": Reader(_search, _seeds(RUN / "search.json"), (values, values)),
    "candidates": Reader(_candidates, _seeds(RUN / "candidates.jsonl"), (lines,)),
    "run: run.json": Reader(in_a_run("run.json"), _seeds(RUN / "run.json"), (values,), share=0.1),
    "run: train.json": Reader(
        in_a_run("train.json"), (*_seeds(RUN / "train.json"), _of_today()), (values, values), share=0.1
    ),
    "run: search.json": Reader(in_a_run("search.json"), _seeds(RUN / "search.json"), (values, values), share=0.1),
    "run: parity.json": Reader(
        in_a_run("choice.onnx.parity.json"), _seeds(RUN / "choice.onnx.parity.json"), (values, values), share=0.1
    ),
    "run: evaluations": Reader(
        in_a_run("evaluations.jsonl"), _seeds(OLD.parent / "v2" / "evaluations.jsonl"), (lines,), share=0.1
    ),
    "run: data.json": Reader(_data, _seeds(RUN / "data.json"), (values,), share=0.1),
    "run: shrink.json": Reader(_shrunk, (_shrink_seed(),), (values,)),
    "engine's record": Reader(_engine_record, (_engine_seed(),), (values,)),
    "supernet": Reader(_supernet, _seeds(RUN / "supernet.safetensors"), (safetensors,) * 3, share=0.5),
    "model": Reader(_model, _seeds(RUN / "choice.safetensors"), (safetensors,) * 3, share=0.5),
    "weights of others": Reader(_weights(".safetensors"), (_FOREIGN,), (safetensors,) * 3, share=0.5),
    "torch's weights": Reader(_weights(".pth"), (_torch_file(),), (zipped,) * 3, share=0.5),
    "folder of a model": Reader(
        _folder, tuple(json.dumps(one).encode() for one in (_HF, _TIMM)), (values, values), share=0.5
    ),
    "checkpoint": Reader(_checkpoint, _seeds(OLD / "training.pt"), (zipped,) * 3, share=0.5),
    "image": Reader(_image, _PICTURES, (png, png), share=2),
    "idx": Reader(_idx, (_IDX,)),
    "classify: model": Reader(
        lambda data: _classify(data, _PICTURES[0]), (_classifying_file(),), (onnx_metadata, onnx_graph, onnx_graph)
    ),
    "classify: image": Reader(
        lambda data: _classify(_classifying_file(), data), (_PICTURES[0], _PICTURES[-1]), (png, png), share=0.5
    ),
    "onnx metadata": Reader(_onnx_metadata, (_CLASSES,), share=0.1),
    "budget": Reader(_budget, (_BUDGETS,)),
}


def try_one(name: str, data: bytes) -> bool:
    """Whether the data were read; a VitasError, one bounded line, is as good.

    Raises anything else that the reader raises, and AssertionError on a number that is none.
    """
    try:
        found = TARGETS[name].read(data)
    except VitasError as error:
        assert len(str(error)) < 2000, str(error)[:300]
        assert "\n" not in error.problem, error.problem
        return False
    odd = insane(found)
    assert not odd, f"not finite: {odd[:3]}"
    return True


def insane(value: Any, where: str = "") -> list[str]:
    """Where in a value a number is not finite."""
    if isinstance(value, bool | str | bytes | int | None):
        return []
    if isinstance(value, float | np.floating):
        return [] if np.isfinite(value) else [f"{where} = {value}"]
    if isinstance(value, torch.Tensor):
        return [] if value.isfinite().all() else [where]
    if isinstance(value, np.ndarray):
        return [] if value.dtype.kind not in "fc" or np.isfinite(value).all() else [where]
    parts: Sequence[tuple[object, Any]] = ()
    if is_dataclass(value):
        parts = [(one.name, getattr(value, one.name)) for one in fields(value)]
    elif isinstance(value, dict):
        parts = list(value.items())
    elif isinstance(value, list | tuple):
        parts = list(enumerate(value))
    return [odd for name, part in parts for odd in insane(part, f"{where}.{name}")]
