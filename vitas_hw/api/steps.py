"""The arguments of each step of a run in Python: its settings, and what the command line adds as options."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vitas_hw.core import Budget, InputError, Range, Subnet
from vitas_hw.core.settings import setting, settings, shared
from vitas_hw.workflows.compare import CompareSettings
from vitas_hw.workflows.evaluate import EvaluateSettings
from vitas_hw.workflows.export.settings import ExportSettings
from vitas_hw.workflows.profile.settings import ProfileSettings
from vitas_hw.workflows.search.settings import SearchSettings
from vitas_hw.workflows.shrink.settings import ShrinkSettings
from vitas_hw.workflows.train.settings import RetrainSettings, TrainSettings

if TYPE_CHECKING:
    from vitas_hw.api.found import FoundSubnet
    from vitas_hw.api.optimizers import AnyOptimizer
    from vitas_hw.training import Callback

    SubnetWord = str | Subnet | FoundSubnet

Settings = TypeVar("Settings")
_SUBNETS = "subnets, or words as on the command line (smallest, choice, front:2, a file ...)."


def own(asked: Any, kind: type[Settings], **instead: Any) -> Settings:
    """The settings of a step, out of what a method was told; ``instead`` counts more. They are checked here."""
    return kind(**(shared(asked, kind) | instead))


@settings
class BudgetWords:
    """A budget in words."""

    latency: str | None = setting(default=None, help="latency budget: 5ms, or a range, 4ms-5ms.")
    flops: str | None = setting(default=None, help="budget in MACs: 1.3G.")
    params: str | None = setting(default=None, help="budget in parameters: 6M.")

    @property
    def parsed(self) -> Budget:
        """What the words say."""
        return Budget.parse(self.latency, self.flops, self.params)

    def budget_or(self, given: Budget) -> Budget:
        """What the words say; ``given`` if there are none. Raises InputError if both say something."""
        words = self.parsed
        if not (words.is_empty or given.is_empty):
            raise InputError("A `budget` was given, and another one in words.", "Leave one out.", field="budget")
        return given if words.is_empty else words


@settings
class ChoiceWords(BudgetWords):
    """The budget of a choice in words: what it computes in a second too."""

    throughput: str | float | None = setting(
        default=None, help="the budget in images a second, at the target's batch size: 500, 500/s."
    )

    @property
    def parsed(self) -> Budget:
        return Budget.parse(self.latency, self.flops, self.params, throughput=self.throughput)


@settings
class Profiling(ProfileSettings):
    """Of ``Run.profile``."""

    fresh: bool = setting(default=False, help="discard earlier measurements of this target.")


@settings
class TrainingSupernet(TrainSettings, BudgetWords):
    """Of ``Run.train``."""

    data: str | None = setting(default=None, help="the images. Default: those of the run.")  # type: ignore[assignment]  # None is the run's
    fresh: bool = setting(default=False, help="discard an unfinished training.")
    callbacks: Sequence[Callback] = setting(default=(), help="called after each epoch, see ``Callback``.")


@settings
class Searching(SearchSettings, ChoiceWords):
    """Of ``Run.search``."""

    latency: str | Sequence[str] | None = setting(  # type: ignore[assignment]  # of several targets, several
        default=None, help="latency budget: 5ms, or a range, 4ms-5ms; with a further target: ['5ms', 'PREDICTOR=20ms']."
    )
    memory: str | None = setting(default=None, help="budget of memory at inference: 200MB.")
    optimizer: str | AnyOptimizer | None = setting(  # type: ignore[assignment]  # an object holds name and sizes
        default=None, help="one of vh.optimizers, or its name. Default: Surrogate()."
    )
    fresh: bool = setting(default=False, help="discard earlier evaluations and measurements.")


@settings
class Retraining(RetrainSettings):
    """Of ``Run.retrain``."""

    subnet: SubnetWord | None = setting(
        default=None, help="the subnet. Default: the last search's choice.", kw_only=False
    )
    rank: int | None = setting(
        default=None, help="rank in the search's front, instead of `subnet`; 1 is the most accurate."
    )
    output: str | Path | None = setting(default=None, help="file for the weights. Default: in the run.")
    fresh: bool = setting(default=False, help="discard an unfinished training.")
    callbacks: Sequence[Callback] = setting(default=(), help="called after each epoch, see ``Callback``.")


@settings
class Evaluating(EvaluateSettings):
    """Of ``Run.evaluate``."""

    subnets: Sequence[SubnetWord] = setting(default=(), help=_SUBNETS, kw_only=False)


@settings
class Comparing(CompareSettings):
    """Of ``Run.compare``."""

    subnets: Sequence[SubnetWord] = setting(default=(), help=_SUBNETS, kw_only=False)
    predictors: str | Path | Sequence[str | Path] = setting(  # type: ignore[assignment]  # of one, its name
        default=(), help="whose targets to compare on: shipped names, the run's, or files. Default: the device's."
    )


@settings
class Exporting(ExportSettings):
    """Of ``Run.export``."""

    formats: str | Sequence[str] = setting(  # type: ignore[assignment]  # of one, its name
        default="onnx", help="onnx, openvino, tensorrt, timm, torch, or a list of them.", kw_only=False
    )
    subnet: SubnetWord | None = setting(default=None, help="the subnet. Default: the last search's choice.")
    rank: int | None = setting(
        default=None, help="rank in the search's front, instead of `subnet`; 1 is the most accurate."
    )
    output: str | Path | None = setting(default=None, help="file to write. Default: in the run.")


@settings
class Shrinking(ShrinkSettings, ChoiceWords):
    """Of ``Run.shrink``."""

    model: str = setting(help="a plain ViT: a timm name, NAME:FILE, a file or a folder.", kw_only=False)
    data: str | None = setting(default=None, help="the images. Default: those of the run.")  # type: ignore[assignment]  # None is the run's
    fresh: bool = setting(default=False, help="discard the run's steps and start from the first.")


def searching(asked: Any, targets: Mapping[str, Range]) -> SearchSettings:
    """The settings of a search whose optimizer may be an object, with its sizes; ``targets`` beside those given.

    Raises InputError for sizes beside an object that has its own.
    """
    sizes: dict[str, Any] = {}
    if not isinstance(asked.optimizer, str | None):
        for name in ("population", "generations"):
            if getattr(asked, name) is not None:
                problem = f"The optimizer that was given has its own `{name}`."
                raise InputError(problem, f"Leave out `{name}`.", field=name)
        sizes = asked.optimizer.as_settings()
    return own(asked, SearchSettings, targets={**asked.targets, **targets}, **sizes)


def word(subnet: SubnetWord | None) -> str | None:
    """A subnet as the command line has it."""
    if subnet is None or isinstance(subnet, str):
        return subnet
    if isinstance(subnet, Subnet):
        return subnet.to_json()
    layers = {} if subnet.layers is None else {"layers": list(subnet.layers)}
    return json.dumps({"subnet": subnet.subnet.to_dict(), **layers})


def words(subnets: Sequence[SubnetWord] | SubnetWord) -> list[str]:
    """Several subnets, or one, as the command line has them."""
    several = subnets if isinstance(subnets, Sequence) and not isinstance(subnets, str) else [subnets]
    return [found for one in several if (found := word(one)) is not None]


def texts(given: str | Path | Sequence[str | Path]) -> tuple[str, ...]:
    """Names or paths, or one, as the command line has them."""
    return tuple(str(one) for one in ([given] if isinstance(given, str | Path) else given))


def path_of(given: str | Path | None) -> Path | None:
    """A path, if any."""
    return None if given is None else Path(given)
