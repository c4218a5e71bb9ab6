"""The whole road on the embedded default: profile, train, search, export."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vitas_hw.core.progress import SILENT, Progress
from vitas_hw.export.parity import Exported
from vitas_hw.runs.directory import DEFAULT_SPACE, Run
from vitas_hw.workflows.export.export import export
from vitas_hw.workflows.profile.profile import Profiled, ProfileSettings, profile
from vitas_hw.workflows.search.search import Searched, default_budget, search_run
from vitas_hw.workflows.train.settings import TrainSettings
from vitas_hw.workflows.train.train import Trained, train


@dataclass(frozen=True)
class Quickstart:
    """What each step gave."""

    profiled: Profiled
    trained: Trained
    searched: Searched
    exported: Exported


def quickstart(
    run: Run,
    *,
    seed: int = 0,
    epochs: int | None = None,
    fresh: bool = False,
    progress: Progress = SILENT,
) -> Quickstart:
    """Profile this CPU, train the digits' super-transformer for a latency that binds here, search, measure, export.

    Args:
        run: where files go; one of another space is refused.
        seed: of every step.
        epochs: of the super-transformer; None takes the recipe's.
        fresh: forget earlier timings and evaluations; without it they are used, and what was killed goes on.
        progress: where to report to.
    """
    training = TrainSettings(epochs=epochs, seed=seed)  # an impossible number ends here, not after the profiling
    settings = ProfileSettings(seed=seed)
    profiled = profile(run, settings, space=DEFAULT_SPACE, fresh=fresh, progress=progress)
    budget = default_budget(profiled.profile.space, profiled.predictor)
    # another budget than an unfinished training's is no mistake here: the device was measured again
    trained = train(run, replace(training, budget=budget), fresh=True if fresh else None, progress=progress)
    searched = search_run(run, budget, seed=seed, fresh=fresh, progress=progress)
    return Quickstart(profiled, trained, searched, export(run)[0])
