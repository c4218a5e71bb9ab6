"""A search without a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitas_hw.api.found import Found, found_of, untrained
from vitas_hw.api.steps import ChoiceWords, searching
from vitas_hw.api.told import told
from vitas_hw.core import SILENT, Progress, SearchSpace, Shares
from vitas_hw.core.settings import setting, settings
from vitas_hw.workflows.search.settings import SearchSettings

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

    from vitas_hw.api.optimizers import AnyOptimizer
    from vitas_hw.data import ImageData
    from vitas_hw.predictors import Predictor
    from vitas_hw.searching import Candidate, Measure
    from vitas_hw.supernet import Supernet


@settings
class SearchingAlone(SearchSettings, ChoiceWords):
    """Of ``search``."""

    space: SearchSpace = setting(help="the search space.", kw_only=False)
    supernet: Supernet | None = setting(
        default=None, help="trained supernet of the space. Not needed for accuracy='params'."
    )
    data: ImageData | None = setting(
        default=None, help="data whose search split scores the subnets. Not needed for accuracy='params'."
    )
    predictor: Predictor | None = setting(
        default=None, help="latency predictor of the space; needed for a latency budget."
    )
    measure: Measure | None = setting(
        default=None, help="function that measures subnets: their p50 in milliseconds. Default: predictions decide."
    )
    depths: Shares | None = setting(
        default=None, help="share of the training of each depth, from the fewest blocks to the most. Default: equal."
    )
    optimizer: str | AnyOptimizer | None = setting(  # type: ignore[assignment]  # an object holds name and sizes
        default=None, help="one of vh.optimizers, or its name. Default: Surrogate()."
    )
    progress: Progress = setting(default=SILENT, help="a ``Reporter`` shows progress on stderr. Default: silent.")


@told(SearchingAlone)
def search(asked: SearchingAlone) -> Found:
    """Find the subnet with the lowest loss under a budget, as ``Run.search`` does, but without files and fine-tuning.

    The same seed, supernet and predictor give the same candidates and scores.

    Returns: the best subnet, the front, and all candidates.

    Raises:
        InfeasibleBudgetError: no subnet meets the budget; the message gives the range of the space.
        InputError: an unreadable budget, a latency budget without a predictor, or a predictor of another space.

    Example:
        >>> space = vh.load_space("vitas-digits")
        >>> found = vh.search(space, params="1M", accuracy="params", optimizer=vh.optimizers.NSGA2(population=8))
        >>> 900_000 < found.best.params <= 1_000_000
        True
    """
    from vitas_hw.workflows.search.search import search as search_space

    result = search_space(
        asked.space,
        asked.parsed,
        searching(asked, {}),
        supernet=asked.supernet,
        data=asked.data,
        predictor=asked.predictor,
        measure=asked.measure,
        depths=asked.depths,
        progress=asked.progress,
    )

    def model(candidate: Candidate) -> VisionTransformer:
        if asked.supernet is None or candidate.top1 is None:
            raise untrained()
        from vitas_hw.supernet import extract

        return extract(asked.supernet, candidate.subnet, asked.supernet.sides[0] or None, candidate.layers).eval()

    return found_of(result, model)
