"""The whole road on the embedded default: profile, train, search, export."""

from __future__ import annotations

from dataclasses import replace

from vitas_hw.core.deadline import NEVER, Deadline, TimeIsUpError
from vitas_hw.core.progress import SILENT, Numbered, Progress
from vitas_hw.core.settings import what_decides
from vitas_hw.export.parity import Exported
from vitas_hw.runs.directory import DEFAULT_SPACE, Run
from vitas_hw.runs.finished import finished
from vitas_hw.searching.result import SearchResult
from vitas_hw.workflows.export.export import export
from vitas_hw.workflows.profile.profile import profile
from vitas_hw.workflows.profile.settings import ProfileSettings
from vitas_hw.workflows.search.search import default_budget, search_run
from vitas_hw.workflows.search.settings import SearchSettings
from vitas_hw.workflows.train.settings import TrainSettings
from vitas_hw.workflows.train.train import train

OLD = "amd-epyc-zen2-onnxruntime-fp32-b1-t1-i32--digits"  # shipped; twenty measurements correct it for this machine
_SEARCHING = 0.9  # of the time that is left after training, if it is limited


def quickstart(
    run: Run,
    *,
    seed: int = 0,
    epochs: int | None = None,
    fresh: bool = False,
    deadline: Deadline = NEVER,
    progress: Progress = SILENT,
) -> tuple[SearchResult, Exported]:
    """Profile this CPU, train the digits' supernet for a latency that binds here, search, measure, export.

    A shipped predictor of the same space, of another machine, is corrected with twenty measurements here.

    Args:
        run: where files go; one of another space is refused.
        seed: of every step.
        epochs: of the supernet; None takes the recipe's.
        fresh: forget earlier timings and evaluations; without it they are used, and what was killed goes on.
        deadline: when to stop.
        progress: where to report to.

    Raises:
        TimeIsUpError: before the choice was exported; a repeated call goes on.
    """
    training = TrainSettings(epochs=epochs, seed=seed)  # an impossible number ends here, not after the profiling
    profiled = profile(
        run,
        ProfileSettings(old=OLD, seed=seed),
        space=DEFAULT_SPACE,
        fresh=fresh,
        deadline=deadline,
        progress=Numbered(progress, 1, 4),
    )
    if not profiled.whole:  # from fewer subnets the budget would be another
        raise TimeIsUpError("all subnets were measured")
    budget = default_budget(profiled.profile.space, profiled.predictor)
    training, searching = replace(training, budget=budget), SearchSettings(seed=seed)
    if fresh or not finished(run, "train", what_decides(training)):
        # another budget than an unfinished training's is no mistake here: the device was measured again
        anew, second = True if fresh else None, Numbered(progress, 2, 4)
        train(run, training, fresh=anew, deadline=deadline, progress=second)
        deadline.check("the supernet was trained")
    searched = search_run(
        run, budget, searching, fresh=fresh, deadline=deadline.part(_SEARCHING), progress=Numbered(progress, 3, 4)
    )
    return searched, export(run, deadline=deadline, progress=Numbered(progress, 4, 4))[0]
