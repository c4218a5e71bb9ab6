"""The whole road on the embedded default: profile, train, search, export."""

from __future__ import annotations

from dataclasses import replace

from vitas_hw.core.progress import SILENT, Progress
from vitas_hw.export.parity import Exported
from vitas_hw.runs.directory import DEFAULT_SPACE, Run
from vitas_hw.searching.result import SearchResult
from vitas_hw.workflows.export.export import export
from vitas_hw.workflows.profile.profile import profile
from vitas_hw.workflows.profile.settings import ProfileSettings
from vitas_hw.workflows.search.search import default_budget, search_run
from vitas_hw.workflows.search.settings import SearchSettings
from vitas_hw.workflows.train.settings import TrainSettings
from vitas_hw.workflows.train.train import train


def quickstart(
    run: Run,
    *,
    seed: int = 0,
    epochs: int | None = None,
    fresh: bool = False,
    progress: Progress = SILENT,
) -> tuple[SearchResult, Exported]:
    """Profile this CPU, train the digits' supernet for a latency that binds here, search, measure, export.

    Args:
        run: where files go; one of another space is refused.
        seed: of every step.
        epochs: of the supernet; None takes the recipe's.
        fresh: forget earlier timings and evaluations; without it they are used, and what was killed goes on.
        progress: where to report to.
    """
    training = TrainSettings(epochs=epochs, seed=seed)  # an impossible number ends here, not after the profiling
    profiled = profile(run, ProfileSettings(seed=seed), space=DEFAULT_SPACE, fresh=fresh, progress=progress)
    budget = default_budget(profiled.profile.space, profiled.predictor)
    # another budget than an unfinished training's is no mistake here: the device was measured again
    train(run, replace(training, budget=budget), fresh=True if fresh else None, progress=progress)
    searched = search_run(run, budget, SearchSettings(seed=seed), fresh=fresh, progress=progress)
    return searched, export(run)[0]
