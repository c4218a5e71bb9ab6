"""The end of the study: the only code that reads the labels of the test part, and it does so once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pays_images import read

from vitas_hw.core import write_atomic


def finish(rows: Sequence[Mapping[str, Any]], missing: Sequence[str], sealed: Path, test: Path) -> None:
    """Score the sealed predictions of every row.

    Args:
        rows: all of them.
        missing: what the protocol asks for and is not there.
        sealed: folder of the predictions.
        test: file to write: top-1 on the test part by ``digest-seed``.
    """
    if test.exists():
        raise SystemExit(f"{test.name} is there: the test part has been read. It is read once.")
    if missing:
        raise SystemExit(f"Not yet: {len(missing)} nets or searches are missing, first {missing[0]}.")
    predictions = {row["sealed"]: opened(sealed / f"{row['sealed']}.npz", row["sealed_sha256"]) for row in rows}
    labels = read("t10k", "labels-idx1")
    top1 = {name: round(float((found == labels).mean()), 5) for name, found in predictions.items()}
    write_atomic(test, json.dumps({"images": len(labels), "top1": top1}, indent=1) + "\n")


def opened(path: Path, sha256: str) -> npt.NDArray[np.uint8]:
    """(N,) classes. Ends the program where the file is not the one that the row was written with."""
    with np.load(path) as arrays:
        found: npt.NDArray[np.uint8] = arrays["test"]
    if digest(found) != sha256:
        raise SystemExit(f"{path.name} is not what its row says: the predictions were changed.")
    return found


def digest(classes: npt.NDArray[np.uint8]) -> str:
    return hashlib.sha256(classes.tobytes()).hexdigest()
