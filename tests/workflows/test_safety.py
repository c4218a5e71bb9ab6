"""A run that a stranger has prepared, weights that carry code, bombs: one sentence, nothing executed, nothing lost."""

from __future__ import annotations

import json
import os
import pickle
import signal
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from vitas_hw.cli.main import main
from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Block, Subnet
from vitas_hw.runs.directory import Run
from vitas_hw.runs.space_file import load_space
from vitas_hw.supernet.timm_models import read_weights
from vitas_hw.supernet.weights_file import load_model, load_supernet
from vitas_hw.training.checkpoint import State, load_state, save_state


class Evil:
    def __reduce__(self) -> Any:
        return os.mkdir, ("executed",)


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("Error: ")
    assert len(printed.err.splitlines()) <= 2
    return printed.err


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".safetensors"])
def test_weights_that_carry_code_are_not_run(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(pickle.dumps({"model": Evil()}))
    torch.save({"w": Evil()}, tmp_path / "zipped.pth")
    for one in (path, tmp_path / "zipped.pth"):
        with pytest.raises(FileError, match=r"nothing in it was run|no readable file of weights"):
            read_weights(one)
    (tmp_path / "training.pt").write_bytes((tmp_path / "zipped.pth").read_bytes())
    with pytest.raises(FileError, match="is a broken checkpoint"):
        load_state(tmp_path / "training.pt", {})
    assert not (tmp_path / "executed").exists()


def test_a_checkpoint_of_another_schema_says_so(tmp_path: Path) -> None:
    torch.save({"schema": 99, "of": "tomorrow"}, tmp_path / "training.pt")
    with pytest.raises(FileError, match=r"is a broken checkpoint|of schema 99, not 1"):
        load_state(tmp_path / "training.pt", {})
    save_state(tmp_path / "training.pt", {}, State(epoch=-1))
    with pytest.raises(FileError, match="is a broken checkpoint"):
        load_state(tmp_path / "training.pt", {})


def test_a_packed_file_of_weights_is_not_unpacked(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(10**6)}, tmp_path / "plain.pth")
    with zipfile.ZipFile(tmp_path / "plain.pth") as plain, zipfile.ZipFile(tmp_path / "bomb.pth", "w") as bomb:
        for entry in plain.infolist():
            bomb.writestr(entry.filename, plain.read(entry), zipfile.ZIP_DEFLATED)
    assert (tmp_path / "bomb.pth").stat().st_size < 10**5
    with pytest.raises(FileError, match=r"bomb\.pth is compressed"):
        read_weights(tmp_path / "bomb.pth")


def test_a_tensor_that_claims_more_than_the_file_holds_is_refused(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(1, dtype=torch.float16).expand(2**40)}, tmp_path / "wide.pth")
    with pytest.raises(FileError, match="claims more numbers than the file has bytes"):
        read_weights(tmp_path / "wide.pth")


def tensors(**places: tuple[int, int]) -> bytes:
    """A file of two numbers a tensor, each where it is said to be."""
    told = {name: {"dtype": "F32", "shape": [2], "data_offsets": place} for name, place in places.items()}
    header = json.dumps(told).encode()
    return struct.pack("<Q", len(header)) + header + bytes(max(end for _, end in places.values()))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 100,
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 10**8 + 1) + b" " * 100,
        struct.pack("<Q", 4) + b"[[[[",
        struct.pack("<Q", 80)
        + b'{"w":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}'.ljust(80),
        tensors(v=(0, 8), w=(4, 12)),  # which overlap
        tensors(v=(0, 8), w=(0, 8)),
        tensors(v=(0, 8), w=(12, 20)),  # with a hole
        tensors(v=(8, 16), w=(0, 4)),
    ],
)
def test_a_safetensors_header_that_lies_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    for read in (load_model, load_supernet, read_weights):
        with pytest.raises(FileError, match=r"w\.safetensors is no"):
            read(path)


def test_a_model_too_large_for_its_file_is_not_built(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    huge = Subnet((32, 32), 1, 16, 2**16, (Block(1, 2**16, 2**16),) * 100, 10)
    save_file(
        {"w": torch.zeros(1)},
        tmp_path / "huge.safetensors",
        {"kind": "subnet", "schema": "2", "subnet": huge.to_json()},
    )
    with pytest.raises(FileError, match="too small for"):
        load_model(tmp_path / "huge.safetensors")


def test_sizes_that_cannot_be_counted_are_refused() -> None:
    with pytest.raises(InputError, match="too large to count"):
        Subnet((2**20, 2**20), 2**20, 2**10, 2**20, (Block(2**10, 2**10, 2**20),), 10)
    with pytest.raises(InputError, match="at most 1024 blocks"):
        Subnet((32, 32), 1, 16, 8, (Block(1, 8, 8),) * 1025, 10)


LAUGHS = "a: &a [x, x]\n" + "".join(f"{n}: &{n} [*{o}, *{o}]\n" for o, n in zip("abcdefgh", "bcdefghi", strict=True))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LAUGHS, r"references \(\*name\) are not read"),
        ("name: a\nname: b\n", "a name stands twice"),
        ("!!python/object/apply:os.mkdir [executed]", "could not determine a constructor"),
        ("a: !!int ''", "is not YAML"),
        ("a: !!timestamp x", "is not YAML"),
        (f"mlp_dims: [{', '.join(map(str, range(1, 5000)))}]", "describes no space"),
    ],
)
def test_a_bomb_of_yaml_is_refused(text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bomb.yaml").write_text(text)
    with pytest.raises(FileError, match=said):
        load_space("bomb.yaml")
    assert not Path("executed").exists()


def test_a_symbolic_link_out_of_the_run_is_neither_read_nor_written(
    small: SearchSpace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(tmp_path / "run")
    run.begin(small)
    outside = tmp_path / "outside"
    outside.write_text("precious\n")
    (run.path / "evaluations.jsonl").symlink_to(outside)
    said = refused(capsys, "search", "--flops", "2M", "--run", str(run.path))
    assert f"evaluations.jsonl is a symbolic link out of the run, to {outside}." in said
    assert outside.read_text() == "precious\n"
    (run.path / "evaluations.jsonl").unlink()
    (tmp_path / "link").symlink_to(run.path)  # the run itself may lie anywhere
    assert Run(tmp_path / "link").space(None) == small


def test_a_symbolic_link_to_itself_is_told_like_any_broken_file(
    small: SearchSpace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(tmp_path / "run")
    run.begin(small)
    run.supernet.symlink_to(run.supernet.name)
    said = refused(capsys, "search", "--flops", "2M", "--run", str(run.path))
    assert "unexpected" not in said
    assert "no supernet" in said


def test_a_link_to_a_folder_is_removed_and_its_content_kept(small: SearchSpace, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.begin(small)
    (run.path / "other").mkdir()
    (run.path / "other" / "file").write_text("kept")
    (run.path / "choice-timm").symlink_to(run.path / "other")
    run.forget_search()
    assert (run.path / "other" / "file").read_text() == "kept"
    assert not (run.path / "choice-timm").is_symlink()


def test_a_second_process_on_a_run_is_told_which_holds_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = "import sys, pathlib; from vitas_hw.runs.directory import Run\n"
    code += "with Run(pathlib.Path(sys.argv[1])).locked(): print('held', flush=True); sys.stdin.read()"
    run = tmp_path / "run"
    held = subprocess.Popen([sys.executable, "-c", code, str(run)], stdin=-1, stdout=-1, text=True)
    assert held.stdout is not None
    assert held.stdout.readline() == "held\n"
    said = refused(capsys, "search", "--flops", "2M", "--run", str(run))
    assert f"The run {run} is being worked on by the process {held.pid} on " in said
    code = "import sys; from vitas_hw.cli.main import main; main(sys.argv[1:]); print(*sys.modules)"
    words = ["train", "--epochs", "1", "--run", str(run)]
    second = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert "is being worked on by the process" in second.stderr
    assert "typer" in second.stdout.split()
    assert "torch" not in second.stdout.split()
    held.kill()
    held.communicate()
    with Run(run).locked():
        assert int((run / ".lock.by").read_text().split()[0]) == os.getpid()
    assert [path.name for path in run.iterdir()] == [".lock"]


def test_what_a_holder_starts_does_not_hold_the_run_after_it(tmp_path: Path) -> None:
    code = "import os, signal, subprocess, sys, pathlib; from vitas_hw.runs.directory import Run\n"
    code += "with Run(pathlib.Path(sys.argv[1])).locked():\n"
    code += " print(subprocess.Popen(['sleep', '60'], stdout=-3).pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "run")], stdout=-1, check=False)
    try:
        Run(tmp_path / "run").refuse_if_held()
    finally:
        os.kill(int(done.stdout), signal.SIGKILL)


def test_what_a_killed_writer_left_is_swept_up_by_the_next_that_holds_the_run(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.profiles.mkdir(parents=True)
    half = [run.path / ".supernet.safetensors.123.part", run.path / "..supernet.safetensors.123.part.123.part"]
    half += [run.profiles / ".x.jsonl.99.part", run.path / ".choice.onnx.k3_a9x2b.part" / "choice.onnx"]
    kept = [run.path / ".notes.part", run.path / "movie.1.part", run.path / "supernet.safetensors"]
    for path in (*half, *kept):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    with run.locked():
        assert not [path for path in half if path.exists()]
        assert not half[-1].parent.exists()
    assert all(path.exists() for path in kept)


def test_a_link_in_place_of_a_lock_is_not_followed(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.path.mkdir()
    (run.path / "precious").write_text("kept")
    (run.path / ".lock").symlink_to("precious")
    with pytest.raises(InputError, match="Cannot write to the run directory"), run.locked():
        pass
    (run.path / ".lock").unlink()
    (run.path / ".lock.by").symlink_to("precious")
    with run.locked():
        assert not (run.path / ".lock.by").is_symlink()
    assert (run.path / "precious").read_text() == "kept"


def test_runs_are_listed_without_torch(small: SearchSpace, tmp_path: Path) -> None:
    Run(tmp_path / "run").begin(small)
    code = "import sys; from vitas_hw.cli.main import main; main(['runs', sys.argv[1]]); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "begun" in done.stdout
    assert "torch" not in done.stdout.split()


def test_a_step_that_comes_to_nothing_leaves_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, "search", "--flops", "2M", "--run", str(tmp_path / "a" / "b"))
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_or_evaluations_of_another_schema_are_refused_and_kept(
    small: SearchSpace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from vitas_hw.searching.archive import Archive

    run = Run(tmp_path / "run")
    run.begin(small)
    changed = json.dumps(json.loads(run.manifest.read_text()) | {"schema": 2})
    run.manifest.write_text(changed)
    assert "is not a run's manifest of schema 1: " in refused(capsys, "search", "--flops", "2M", "--run", str(run.path))
    assert run.manifest.read_text() == changed
    path = tmp_path / "evaluations.jsonl"
    path.write_text('{"schema":3,"kind":"evaluations"}\n{"subnet":"x","part":0,"top1":0.5}\n')
    with pytest.raises(FileError, match="holds no evaluations of schema 2"):
        Archive.open(path, {})
    assert path.read_text().count("\n") == 2
