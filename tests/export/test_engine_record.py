"""Which engines run where, decided from what was recorded of them; engines kept by what they were built of."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.published import published_subnet
from vitas_hw.core.space import SearchSpace
from vitas_hw.export import engine_record
from vitas_hw.export.engine_cache import EngineCache, engine_key, timings_in
from vitas_hw.export.engine_record import (
    EngineHost,
    EngineRecord,
    read_record,
    record_path,
    sha256,
    usable_record,
    write_record,
)

L4, H200 = ("NVIDIA L4", "8.9"), ("NVIDIA H200", "9.0")
AT_HAND = EngineRecord(
    library="tensorrt",
    version="10.9.0",
    device="NVIDIA L4",
    compute_capabilities=("8.9",),
    precision="fp16",
    subnet=published_subnet("deit-ti"),
    engine_sha256=sha256(b"an engine"),
)
AHEAD = replace(AT_HAND, library="tensorrt-rtx", version="1.7.1", device=None, compute_capabilities=("8.9", "12.0"))


def host(record: EngineRecord, *gpus: tuple[str, str], version: str | None = None) -> EngineHost:
    return EngineHost(record.library, record.version if version is None else version, gpus)


@pytest.mark.parametrize(
    ("record", "where", "reason"),
    [
        (AT_HAND, host(AT_HAND, L4), ""),
        (AT_HAND, host(AT_HAND, H200, L4), ""),
        (
            AT_HAND,
            host(AT_HAND, H200),
            "was built for NVIDIA L4 (compute capability 8.9), and this machine has NVIDIA H200 (9.0)",
        ),
        (AT_HAND, host(AT_HAND, ("NVIDIA L40S", "8.9")), "this machine has NVIDIA L40S (8.9)"),
        (AT_HAND, host(AT_HAND), "this machine has no NVIDIA GPU"),
        (AT_HAND, host(AT_HAND, L4, version="10.13.0"), "by tensorrt 10.9.0, and here is 10.13.0"),
        (AT_HAND, host(AT_HAND, L4, version=""), "by tensorrt 10.9.0, which is not installed here"),
        (AHEAD, host(AHEAD, ("NVIDIA L40S", "8.9")), ""),
        (AHEAD, host(AHEAD, H200), "was built for compute capability 8.9, 12.0, and this machine has NVIDIA H200"),
    ],
)
def test_an_engine_runs_where_its_record_says(record: EngineRecord, where: EngineHost, reason: str) -> None:
    found = record.refusal(where)
    assert reason in found
    assert bool(reason) == bool(found)


def test_an_engine_of_another_gpu_is_refused_in_a_sentence(tmp_path: Path) -> None:
    engine = tmp_path / "choice.engine"
    engine.write_bytes(b"an engine")
    write_record(engine, AT_HAND)
    assert read_record(engine) == AT_HAND
    assert usable_record(engine, host(AT_HAND, L4)) == AT_HAND
    with pytest.raises(InputError, match=r"choice\.engine was built for NVIDIA L4.*\. Export it for this machine"):
        usable_record(engine, host(AT_HAND, H200))


def test_a_record_that_is_missing_broken_or_of_another_engine_is_refused(tmp_path: Path) -> None:
    engine = tmp_path / "choice.engine"
    with pytest.raises(FileError, match="no engine"):
        read_record(engine)
    engine.write_bytes(b"an engine")
    whole = {"schema": 1, **vars(AT_HAND), "subnet": AT_HAND.subnet.to_dict()}
    broken = [
        "no json",
        "[]",
        json.dumps(whole | {"schema": 2}),
        json.dumps(whole | {"library": "tvm"}),
        json.dumps(whole | {"subnet": {}}),
        json.dumps(whole | {"colour": "red"}),
    ]
    for text in [None, *broken]:
        if text is not None:
            record_path(engine).write_text(text)
        with pytest.raises(FileError, match=r"choice\.engine\.json.* Export the engine anew"):
            read_record(engine)
    write_record(engine, AT_HAND)
    engine.write_bytes(b"another engine")
    with pytest.raises(FileError, match="describes another engine"):
        read_record(engine)


def test_this_host_tells_the_library_and_every_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: (L4, H200)[index][0])
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: ((8, 9), (9, 0))[index])
    monkeypatch.setattr(engine_record, "library_missing", lambda library: "it is not installed")
    found = engine_record.this_host("tensorrt")
    assert found == EngineHost("tensorrt", "", (L4, H200))
    assert found.facts(1) == ("tensorrt", "", *H200)
    assert found.facts(2) == ("tensorrt", "")


def test_a_kept_engine_is_not_built_again_and_the_oldest_go_first(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path / "engines", most_bytes=25)
    built: list[str] = []

    def get(key: str, size: int = 10) -> bytes:
        def build() -> bytes:
            built.append(key)
            return key.encode() * size

        return cache.get(key, build)

    def files() -> set[str]:
        return {path.name for path in (tmp_path / "engines").iterdir()}

    assert get("a") == get("a") == b"a" * 10
    get("b")
    assert built == ["a", "b"]
    for number, name in enumerate("ab"):  # file times are coarser than this test is slow
        os.utime(tmp_path / f"engines/{name}.engine", (number, number))
    get("a")  # used last now
    (tmp_path / "engines/.b.engine.99.part").write_bytes(b"left by a writer that was killed")
    os.utime(tmp_path / "engines/.b.engine.99.part", (0, 0))
    get("c")
    assert files() == {"a.engine", "c.engine"}
    assert get("d", 30) == b"d" * 30  # larger than all that may be kept
    assert files() == {"a.engine", "c.engine"}
    assert EngineCache(tmp_path / "engines").get("a", lambda: b"") == b"a" * 10  # another process
    assert built == ["a", "b", "c", "d"]


def test_an_engine_is_known_by_its_graph_and_all_that_decides_it(tmp_path: Path, small: SearchSpace) -> None:
    settings = {"facts": ["tensorrt", "10.9.0", *L4], "precision": "fp16"}
    key = engine_key(b"graph", settings)
    assert key == engine_key(b"graph", dict(reversed(settings.items())))
    others = [
        engine_key(b"other", settings),
        engine_key(b"graph", settings | {"precision": "fp32"}),
        engine_key(b"graph", settings | {"facts": ["tensorrt", "10.9.0", *H200]}),
        engine_key(b"graph", settings | {"facts": ["tensorrt", "10.13.0", *L4]}),
    ]
    assert len({key, *others}) == 5
    here, there = host(AT_HAND, L4).facts(0), host(AT_HAND, H200).facts(0)
    timings_in(tmp_path, here).keep(b"timings")
    assert timings_in(tmp_path, here).data == b"timings"
    assert timings_in(tmp_path, there).data == b""  # of another GPU
