"""What a search has found, as Python has it: subnets with all that is known of each, and their models."""

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
    """A subnet of a search, and what is known of it; None is what is not known.

    Args:
        subnet: its architecture.
        top1: on the search split; with the supernet's weights, or of the best one after its fine-tuning.
        loss: mean cross-entropy where top-1 is from.
        predicted_ms: latency by the predictor.
        measured_ms: latency on the device.
        memory_bytes: measured, where a budget asked for it.
        layers: the supernet's blocks that it runs on, in a space without identity shifting.

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
        """Multiply-accumulates of an inference of one image: the field's FLOPs."""
        return self.subnet.macs

    @property
    def params(self) -> int:
        """Number of parameters."""
        return self.subnet.params

    @property
    def digest(self) -> str:
        """What names the subnet in files."""
        return self.subnet.digest

    def model(self) -> VisionTransformer:
        """A plain timm ``VisionTransformer`` with its weights, in evaluation mode: those of the supernet; of a run's
        best, those after fine-tuning or retraining.

        Raises:
            InputError: the search ranked subnets by their size, so that it has none; or the run was searched again.
        """
        return self._model()


@dataclass(frozen=True)
class Found(Tabular):
    """A finished search.

    Args:
        best: the most accurate subnet that lies inside the budget, as measured where the device is here.
        front: the best subnets at each cost, cheapest first (a Pareto front).
        candidates: every subnet that was evaluated or known inside the budget, in order.
        budget: what was asked for.
        result: all that the search keeps in its file.

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
