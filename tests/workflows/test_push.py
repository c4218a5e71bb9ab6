"""An exported folder goes to the hub with its card: those files alone, in one commit, and no token in sight."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vitas_hw.cli.main import main
from vitas_hw.core.errors import FileError, InputError, VitasError
from vitas_hw.workflows.push import push

pytestmark = pytest.mark.usefixtures("brief")  # see brief_steps.py

OLD = Path(__file__).parent.parent / "older_files" / "v1"
TOKEN = "hf_0123456789abcdef"  # noqa: S105  # of nobody


class Hub:
    """As much of HfApi as is used, by its signatures; keeps what was committed in a folder."""

    def __init__(self, folder: Path, refuses: Exception | None = None) -> None:
        self.folder, self.refuses, self.made = folder, refuses, []  # type: ignore[var-annotated]

    def create_repo(self, repo_id: str, *, private: bool | None = None, exist_ok: bool = False) -> str:
        if self.refuses:
            raise self.refuses
        self.made.append((repo_id, private, exist_ok))
        return repo_id

    def create_commit(self, repo_id: str, operations: Any, *, commit_message: str) -> Any:
        for one in operations:
            path = self.folder / repo_id / one.path_in_repo
            path.parent.mkdir(parents=True, exist_ok=True)
            with one.as_file() as file:
                path.write_bytes(file.read())
        return SimpleNamespace(commit_url=f"https://hub/{repo_id}/commit/1")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose choice was exported for timm."""
    folder = Path(shutil.copytree(OLD / "run", tmp_path_factory.mktemp("runs") / "run"))
    assert main(["export", "--timm", "--images", "16", "--run", str(folder)]) == 0
    return folder


def hub(tmp_path: Path, **how: Any) -> Any:
    return Hub(tmp_path / "hub", **how)


def test_a_choice_arrives_and_timm_reads_it(run: Path, tmp_path: Path) -> None:
    api = hub(tmp_path)
    done = push(run, "me/my-vit", private=True, api=api)
    assert api.made == [("me/my-vit", True, True)]
    assert done.url == "https://hub/me/my-vit/commit/1"
    there = tmp_path / "hub/me/my-vit"
    assert {path.name: path.stat().st_size for path in there.iterdir()} == done.files
    assert set(done.files) == {"README.md", "config.json", "model.safetensors", "vitas_subnet.py"}
    card = (there / "README.md").read_text()
    head, _, rest = card.removeprefix("---\n").partition("---\n")
    assert "library_name: timm" in head.splitlines()
    assert (run / "choice-timm.md").read_text().strip() in rest
    assert 'snapshot_download("me/my-vit")' in rest
    code = "import sys, torch, timm; sys.path.insert(0, sys.argv[1]); import vitas_subnet\n"
    code += "print(*timm.create_model('local-dir:' + sys.argv[1], pretrained=True)(torch.zeros(1, 1, 32, 32)).shape)"
    shown = subprocess.run([sys.executable, "-c", code, str(there)], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["1", "10"]


def test_only_what_an_export_wrote_is_sent(run: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run / "choice-timm", tmp_path / "model"))
    shutil.copyfile(run / "choice-timm.md", tmp_path / "model.md")
    (folder / ".env").write_text(f"HF_TOKEN={TOKEN}\n")
    (folder / "vitas_subnet.py").unlink()
    (folder / "vitas_subnet.py").symlink_to(folder / ".env")
    done = push(folder, "me/x", api=hub(tmp_path))
    assert ".env" not in done.files
    assert TOKEN not in (tmp_path / "hub/me/x/vitas_subnet.py").read_text()


def test_a_token_stands_in_no_card_and_no_message(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "a-token-of-another-form")
    folder = Path(shutil.copytree(run / "choice-timm", tmp_path / "model"))
    text = (run / "choice-timm.md").read_text() + f"\nvitas-hw train --data hfds/x?token={TOKEN}\n"
    (tmp_path / "model.md").write_text(text)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    push(folder, "me/x", api=hub(tmp_path))
    assert TOKEN not in (tmp_path / "hub/me/x/README.md").read_text()
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before  # no manifest tells of it
    refused = RuntimeError("401 Client Error: Bearer a-token-of-another-form")
    with pytest.raises(VitasError, match=r"^The hub did not take me/x: 401 Client Error: Bearer \*\*\*\.") as caught:
        push(run, "me/x", api=hub(tmp_path, refuses=refused))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_who_is_not_logged_in_is_told_how(run: Path, tmp_path: Path) -> None:
    from huggingface_hub.errors import LocalTokenNotFoundError

    with pytest.raises(VitasError, match=r"Log in \(hf auth login\), or set HF_TOKEN to a token that may write there"):
        push(run, "me/x", api=hub(tmp_path, refuses=LocalTokenNotFoundError("no token")))
    with pytest.raises(VitasError, match="Nothing was committed: repeat the command"):
        push(run, "me/x", api=hub(tmp_path, refuses=ConnectionError("no route")))


def test_a_dry_run_tells_what_would_be_sent(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", str(run), "me/x", "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["url"] == ""
    assert told["files"]["model.safetensors"] == (run / "choice-timm/model.safetensors").stat().st_size
    assert main(["push", str(run), "me/x", "--dry-run"]) == 0
    assert "Would be sent to me/x" in capsys.readouterr().out


@pytest.mark.parametrize("repo", ["my-vit", "me/my/vit", "me/", "/x", "../x", "me/..", "me/a b", "me/x\n", "me/--x"])
def test_what_is_no_name_of_a_repository_is_refused(repo: str, run: Path) -> None:
    with pytest.raises(InputError, match=r"is no name of a repository\. Give OWNER/NAME"):
        push(run, repo, dry_run=True)


def test_what_was_not_exported_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", str(OLD / "run"), "me/x"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[-2:] == [
        f"Error: The run {OLD / 'run'} has no timm folder of its choice.",
        "First: export with --timm.",
    ]
    with pytest.raises(InputError, match="is neither a run nor a folder that export wrote with timm"):
        push(tmp_path, "me/x")
    folder = Path(shutil.copytree(run / "choice-timm", tmp_path / "model"))
    with pytest.raises(FileError, match=r"The model card .*model\.md is missing"):
        push(folder, "me/x", dry_run=True)
    (folder / "config.json").write_text('{"architecture": "resnet50"}')
    with pytest.raises(FileError, match="is no model's that vitas-hw exported: it lacks 'vitas_hw'"):
        push(folder, "me/x", dry_run=True)
