"""A folder that was exported for timm, and its model card, on the Hugging Face hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitas_hw.core.errors import FileError, InputError, VitasError, shown
from vitas_hw.core.progress import SILENT, Progress
from vitas_hw.core.reading import parse_json, read_bytes, read_text, reason
from vitas_hw.core.records import from_json, refusing
from vitas_hw.core.secrets import redacted
from vitas_hw.core.subnet import Subnet
from vitas_hw.supernet.weights_file import header

if TYPE_CHECKING:
    from huggingface_hub import HfApi

CONFIG, _WEIGHTS, _CODE, _CARD = "config.json", "model.safetensors", "vitas_subnet.py", "README.md"
_REPO = re.compile(r"[\w-][\w.-]{0,95}/[\w-][\w.-]{0,95}", re.ASCII)
_MOST_BYTES = 16 * 2**30  # of weights
_LOGIN = "Log in (hf auth login), or set HF_TOKEN to a token that may write there."
_CARD_HEAD = """---
library_name: timm
pipeline_tag: image-classification
tags:
- image-classification
- timm
- vitas-hw
---
"""
_USE = """
## Use

```python
{code}
```
"""
_OWN_NAME = """import timm
model = timm.create_model("hf-hub:{repo}", pretrained=True).eval()"""
_ANY = """import sys, timm
from huggingface_hub import snapshot_download
folder = snapshot_download("{repo}")
sys.path.insert(0, folder)
import vitas_subnet  # tells timm of a ViT whose blocks are arguments
model = timm.create_model(f"local-dir:{{folder}}", pretrained=True).eval()"""


@dataclass(frozen=True)
class Pushed:
    """What is on the hub now.

    Args:
        repo: its name there, ``OWNER/NAME``.
        url: of the commit; empty if nothing was sent.
        files: name and size in bytes of what the commit holds.
    """

    repo: str
    url: str
    files: dict[str, int]


def send(
    folder: Path,
    repo: str,
    *,
    private: bool | None = None,
    dry_run: bool = False,
    api: HfApi | None = None,
    progress: Progress = SILENT,
) -> Pushed:
    """Send an exported folder with its card, as one commit: all of it is there then, or nothing.

    Only what an export writes is sent, whatever else lies in the folder. The token is ``huggingface_hub``'s own, of
    ``hf auth login`` or ``HF_TOKEN``; it is kept in no file of ours and shown in no message.

    Args:
        folder: that an export for timm wrote, its card beside it.
        repo: ``OWNER/NAME``; made if it is not there.
        private: who may see a new repository; None is the owner's own usual.
        dry_run: read and check everything, and send nothing.
        api: what speaks to the hub; None is ``HfApi()``.
        progress: where to report to.

    Raises:
        InputError: no such name of a repository.
        FileError: a file is missing or is no export's.
        VitasError: the hub refuses, or is not reached.
    """
    if not _REPO.fullmatch(repo) or ".." in repo or "--" in repo:
        raise InputError(f"{shown(repo)} is no name of a repository.", "Give OWNER/NAME.", field="repo", value=repo)
    content = _content(folder, repo)
    sizes = {name: len(data) for name, data in content.items()}
    if dry_run:
        return Pushed(repo, "", sizes)
    from huggingface_hub import CommitOperationAdd, HfApi

    api = api or HfApi()
    operations = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=data) for name, data in content.items()]
    with progress.step(f"sending {len(content)} files to {repo}", 2) as advance:
        try:
            api.create_repo(repo, private=private, exist_ok=True)
            advance("the repository is there")
            done: Any = api.create_commit(repo, operations, commit_message="A subnet of vitas-hw, with its card")
            advance("committed")
        except Exception as error:  # of the hub, of the network, of the library
            raise _refused(repo, error) from None  # its context may hold the request, and the token with it
    return Pushed(repo, str(done.commit_url), sizes)


def _content(folder: Path, repo: str) -> dict[str, bytes]:
    """Names and bytes of what is sent. Raises FileError on what is no export's."""
    config = read_text(folder / CONFIG, "the model's configuration")
    with refusing(folder / CONFIG, "is no model's that vitas-hw exported", step="export"):
        data = from_json(dict[str, Any], parse_json(config))
        Subnet.from_dict(from_json(dict[str, Any], data["vitas_hw"])["subnet"])
        is_own = from_json(str, data["architecture"], "architecture") == Path(_CODE).stem
    header(folder / _WEIGHTS, "the weights")
    card = folder.with_name(f"{folder.name}.md")
    if not card.is_file():
        raise FileError(f"The model card {card} is missing.", "Export the model again, or put its card there.")
    text = redacted(read_text(card, "the model card"))
    code = (_ANY if is_own else _OWN_NAME).format(repo=repo)
    found = {
        _CARD: f"{_CARD_HEAD}\n{text.rstrip()}\n{_USE.format(code=code)}".encode(),
        CONFIG: config.encode(),
        _WEIGHTS: read_bytes(folder / _WEIGHTS, "the weights", most=_MOST_BYTES),
    }
    if is_own:  # ours, not what lies there under its name
        found[_CODE] = files("vitas_hw.export").joinpath(_CODE).read_bytes()
    return found


def _refused(repo: str, error: Exception) -> VitasError:
    from huggingface_hub.errors import LocalTokenNotFoundError

    status = getattr(getattr(error, "response", None), "status_code", None)
    unknown = isinstance(error, LocalTokenNotFoundError) or status in (401, 403)
    hint = _LOGIN if unknown else "Nothing was committed: repeat the command."
    return VitasError(f"The hub did not take {repo}: {redacted(reason(error))}.", hint)
