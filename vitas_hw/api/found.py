"""The result of a search in Python: subnets with their accuracy and costs, and their models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vitas_hw.core import Budget, Cell, InputError, Rows, Subnet, Tabular
from vitas_hw.searching import Candidate, SearchResult

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

    Models = Callable[[Candidate], VisionTransformer]


@dataclass(frozen=True)
class FoundSubnet:
    """A subnet of a search with its accuracy and costs; None is an unknown value.

    Args:
        subnet: its architecture.
        top1: on the search split, from 0 to 1; with the supernet's weights, for the best subnet after its fine-tuning.
        loss: mean cross-entropy on the same images, with the same weights.
        predicted_ms: predicted latency in milliseconds.
        measured_ms: latency measured on the device, in milliseconds.
        memory_bytes: measured memory, if the budget limits it.
        layers: the blocks of the supernet that it uses, in a space without identity shifting.

    Example:
        >>> best = vh.Run("runs/digits").found.best
        >>> best.macs, best.params
        (30544, 7266)
        >>> import torch
        >>> best.model()(torch.zeros(1, 1, 32, 32)).shape
        torch.Size([1, 10])
    """

    subnet: Subnet
    top1: float | None
    loss: float | None
    predicted_ms: float | None
    measured_ms: float | None
    memory_bytes: float | None
    layers: tuple[int, ...] | None
    _model: Callable[[], VisionTransformer] = field(compare=False, repr=False)

    @property
    def macs(self) -> int:
        """Multiply-accumulates per image; papers on vision transformers call them FLOPs."""
        return self.subnet.macs

    @property
    def params(self) -> int:
        """Number of parameters."""
        return self.subnet.params

    @property
    def digest(self) -> str:
        """Hash of the architecture; files name the subnet by it."""
        return self.subnet.digest

    def model(self) -> VisionTransformer:
        """The subnet as a plain timm ``VisionTransformer`` in evaluation mode.

        Its weights are the supernet's; for the best subnet of a run, those after fine-tuning or retraining.

        Raises:
            InputError: the search ranked by size and has no weights, or the run was searched again.
        """
        return self._model()


@dataclass(frozen=True)
class Found(Tabular):
    """A finished search.

    Args:
        best: the most accurate subnet within the budget, by measured latency if the device is here.
        front: the best subnets at each cost, cheapest first (a Pareto front).
        candidates: every subnet within the budget that this or an earlier search evaluated, in order.
        budget: the budget of the search.
        result: the content of ``search.json``.

    Example:
        >>> found = vh.Run("runs/digits").found
        >>> print(found.budget)
        MACs at most 100 KMACs
        >>> len(found.candidates), found.best in found.candidates
        (4, True)
    """

    best: FoundSubnet
    front: Rows[FoundSubnet]
    candidates: Rows[FoundSubnet]
    budget: Budget
    result: SearchResult = field(repr=False)

    @property
    def title(self) -> str:
        return f"Search of {self.result.space}, budget: {self.budget}"

    def to_dicts(self) -> list[dict[str, Cell]]:
        """Every candidate, with whether it is the best and whether it lies on the front."""
        on_front = {(one.subnet, one.layers) for one in self.front}
        best = (self.best.subnet, self.best.layers)
        return [
            _cells(one) | {"front": (one.subnet, one.layers) in on_front, "best": (one.subnet, one.layers) == best}
            for one in self.candidates
        ]


def found_of(result: SearchResult, model: Models, best_model: Callable[[], VisionTransformer] | None = None) -> Found:
    """A result for people.

    Args:
        result: of a search.
        model: of a candidate, with its weights.
        best_model: of the choice, where that has weights of its own.
    """

    def one(candidate: Candidate) -> FoundSubnet:
        digest = candidate.subnet.digest
        is_choice = (candidate.subnet, candidate.layers) == (result.choice.subnet, result.choice.layers)
        final = is_choice and result.final_top1 is not None
        return FoundSubnet(
            subnet=candidate.subnet,
            top1=result.final_top1 if final else candidate.top1,
            loss=result.final_loss if final else candidate.loss,
            predicted_ms=candidate.predicted_ms,
            measured_ms=result.measured_ms.get(digest),
            memory_bytes=result.memory_bytes.get(digest),
            layers=candidate.layers,
            _model=best_model if is_choice and best_model is not None else lambda: model(candidate),
        )

    return Found(
        best=one(result.choice),
        front=Rows([one(each) for each in result.front], _cells, f"Front of {result.space}, cheapest first"),
        candidates=Rows([one(each) for each in result.candidates], _cells, f"Candidates of {result.space}"),
        budget=result.budget,
        result=result,
    )


def untrained() -> InputError:
    """The error for asking for the weights of a subnet that has none."""
    return InputError(
        "The search ranked subnets by their size: they have no trained weights yet.", step="retrain", field="accuracy"
    )


def _cells(one: FoundSubnet) -> dict[str, Cell]:
    return {
        "digest": one.digest,
        "top1": one.top1,
        "loss": one.loss,
        "predicted_ms": one.predicted_ms,
        "measured_ms": one.measured_ms,
        "macs": one.macs,
        "params": one.params,
        "patch_size": one.subnet.patch_size,
        "embed_dim": one.subnet.embed_dim,
        "depth": one.subnet.depth,
    }
