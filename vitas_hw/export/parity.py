"""Whether two programs compute the same on the same images, and what is kept of a file that passed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from vitas_hw.core.errors import VitasError
from vitas_hw.core.tables import Cell

Floats = npt.NDArray[np.float32]
Program = Callable[[Floats], Floats]  # (B, C, H, W) -> (B, num_classes)
Batches = Iterable[tuple[Floats, npt.NDArray[np.int64] | None]]


@dataclass(frozen=True)
class Tolerance:
    """Most difference of a logit, relative to the largest logit (at least 1), and least share of equal top-1."""

    logits: float
    agreement: float


TOLERANCES = {"fp32": Tolerance(1e-4, 0.999), "fp16": Tolerance(2e-2, 0.99)}  # int8 is judged by its top-1


@dataclass(frozen=True)
class Agreement:
    """A program beside the reference: largest difference of a logit, share of equal top-1, its own top-1."""

    largest_difference: float
    agreement: float
    top1: float | None


@dataclass(frozen=True)
class Parity:
    """Programs beside a reference on the same images.

    Args:
        reference: its name.
        images: how many.
        largest_logit: of the reference, absolute.
        top1: of the reference; None if the images have no labels.
        others: by name.
    """

    reference: str
    images: int
    largest_logit: float
    top1: float | None
    others: Mapping[str, Agreement]

    def check(self, name: str, precision: str) -> None:
        """Raises VitasError if a program's logits are further from the reference's than its precision explains."""
        tolerance, found = TOLERANCES.get(precision), self.others[name]
        if tolerance is None:
            return
        allowed = tolerance.logits * max(1.0, self.largest_logit)
        if not found.largest_difference <= allowed or found.agreement < tolerance.agreement:
            raise ParityError(
                f"The {name} export was not kept: its logits differ from {self.reference}'s by up to"
                f" {found.largest_difference:.2g} ({allowed:.2g} is allowed in {precision}), top-1 agrees on"
                f" {found.agreement:.1%} of {self.images} images."
            )


@dataclass(frozen=True)
class Exported:
    """A kept file and how it compares.

    Args:
        format: its name, as ``onnx``.
        path: the file, or timm's folder.
        precision: of the file.
        parity: the plain model beside the file (of an engine: beside the graph it was built of).
        extraction: supernet beside the extracted model, where there is one.
        checked: what was run for the comparison.
        latency_ms: p50 in fp32 and in the precision of the file, where this CPU runs both.
    """

    format: str
    path: Path
    precision: str
    parity: Parity
    extraction: Parity | None
    checked: str
    latency_ms: dict[str, float] = field(default_factory=dict)

    @property
    def report(self) -> Path:
        """Where the comparison is written."""
        return self.path.with_name(f"{self.path.name}.parity.json")

    @property
    def card(self) -> Path:
        """The model card beside it."""
        return self.path.with_name(f"{self.path.name}.md")

    @property
    def beside(self) -> Agreement:
        """How the file compares."""
        return self.parity.others[self.format]

    def cells(self) -> dict[str, Cell]:
        """As a row of a table."""
        found = self.beside
        return {
            "format": self.format,
            "path": str(self.path),
            "precision": self.precision,
            "top1": found.top1,
            "agreement": found.agreement,
            "largest_difference": found.largest_difference,
        }

    def to_dict(self) -> dict[str, Any]:
        return {
            "format": self.format,
            "precision": self.precision,
            "checked": self.checked,
            "exported": asdict(self.parity),
            "extraction": None if self.extraction is None else asdict(self.extraction),
            "latency_ms": self.latency_ms,
        }


class ParityError(VitasError):
    """An export that computes something else."""


def measure_parity(reference: tuple[str, Program], others: Mapping[str, Program], batches: Batches) -> Parity:
    """Run all on every batch in turn; no more than a batch is held.

    Args:
        reference: a name and what the others should compute.
        others: by name.
        batches: images with labels, or with None.
    """
    name, expected_of = reference
    images = hits = 0
    largest = 0.0
    worst = dict.fromkeys(others, 0.0)
    same = dict.fromkeys(others, 0)
    right = dict.fromkeys(others, 0)
    labelled = True
    for batch, labels in batches:
        expected = expected_of(batch)
        images += len(batch)
        largest = max(largest, float(np.abs(expected).max()))
        labelled = labelled and labels is not None
        hits += 0 if labels is None else int((expected.argmax(1) == labels).sum())
        for other, program in others.items():
            found = program(batch)
            difference = float(np.abs(found - expected).max())
            worst[other] = max(worst[other], difference) if np.isfinite(difference) else float("inf")
            same[other] += int((found.argmax(1) == expected.argmax(1)).sum())
            right[other] += 0 if labels is None else int((found.argmax(1) == labels).sum())
    if not images:
        raise VitasError("There are no images to compare the export on.", "Give others with `data`.", field="data")
    return Parity(
        name,
        images,
        largest,
        hits / images if labelled else None,
        {o: Agreement(worst[o], same[o] / images, right[o] / images if labelled else None) for o in others},
    )


def with_fixed_batch(program: Program, batch_size: int | None) -> Program:
    """A program of one batch size for batches of any; None leaves it as it is."""
    if batch_size is None:
        return program

    def run(images: Floats) -> Floats:
        padded = np.resize(images, (-(-len(images) // batch_size) * batch_size, *images.shape[1:]))
        parts = [program(padded[start : start + batch_size]) for start in range(0, len(padded), batch_size)]
        return np.concatenate(parts)[: len(images)]

    return run


def torch_program(model: nn.Module) -> Program:
    """A model of torch on the CPU."""
    model.eval()

    @torch.inference_mode()
    def run(images: Floats) -> Floats:
        logits: Floats = model(torch.from_numpy(images)).float().numpy()
        return logits

    return run
