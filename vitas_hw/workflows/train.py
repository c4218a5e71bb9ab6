"""Training the super-transformer of a run."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from vitas_hw.core.budget import Budget, show_cost
from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.files import write_atomic
from vitas_hw.searching.costs import Costs
from vitas_hw.searching.identity import IdentityProbability, identity_probability
from vitas_hw.supernet.checkpoint import load_supernet, save_supernet
from vitas_hw.supernet.supernet import Supernet, build_supernet
from vitas_hw.training.data import load_data
from vitas_hw.training.loop import subnet_top1, train_supernet
from vitas_hw.training.recipe import digits_supernet
from vitas_hw.workflows.profile import load_run_predictor
from vitas_hw.workflows.progress import SILENT, Progress
from vitas_hw.workflows.run import DEFAULT_DATA, Run

_SAMPLED = 10  # subnets whose mean top-1 is reported


@dataclass(frozen=True)
class Trained:
    """A trained super-transformer.

    ``top1`` is the mean over ten subnets drawn as in training, on the search split; ``identity`` the probability used
    and the mean costs it gives.
    """

    supernet: Supernet
    path: Path
    epochs: int
    identity: IdentityProbability
    top1: float


def train(
    run: Run,
    *,
    space: str | None = None,
    data: str = DEFAULT_DATA,
    budget: Budget = Budget(),  # noqa: B008  # frozen
    epochs: int | None = None,
    sharing: str = "ordinal",
    seed: int = 0,
    progress: Progress = SILENT,
) -> Trained:
    """Train the super-transformer of the run's space on the train part of the data.

    Args:
        run: where files go.
        space: name or YAML file; None is the run's, or the default.
        data: name of the data set.
        budget: sampled subnets cost this much in the mean, by the identity probability searched for it; without one
            the probability is 0.5. A latency needs the run's predictor.
        epochs: None takes the recipe's.
        sharing: weight-sharing scheme.
        seed: of weights, subnets and order.
        progress: where to report to.
    """
    found = run.space(space)
    images = load_data(data, found)
    recipe = digits_supernet() if epochs is None else digits_supernet(epochs)
    supernet = build_supernet(found, sharing, seed=seed)
    run.begin(found)
    inputs: list[Path] = []
    if budget.asked:
        predictor = None
        if budget.latency_ms:
            predictor, predictor_path = load_run_predictor(run)
            inputs.append(predictor_path)
        identity = identity_probability(Costs(found, predictor), budget, seed=seed)
        means = ", ".join(show_cost(mean, cost) for cost, mean in identity.means.items())
        progress.note(f"identity probability {identity.p:.3f} for a budget of {budget}: mean {means}")
    else:
        identity = IdentityProbability(0.5, {})
        progress.note("identity probability 0.5 (no budget given)")
    with progress.step(f"training the super-transformer on {data}", recipe.epochs) as advance:
        history = train_supernet(
            supernet,
            images.train,
            recipe,
            p_identity=identity.p,
            seed=seed,
            on_epoch=lambda epoch: advance(f"loss {epoch.loss:.3f}"),
        )
    rng = np.random.default_rng([seed, 2])
    sampled = [found.sample(rng, p_identity=identity.p) for _ in range(_SAMPLED)]
    top1 = float(np.mean([subnet_top1(supernet, subnet, images.search) for subnet in sampled]))
    about = {
        "data": data,
        "sharing": sharing,
        "seed": seed,
        "recipe": asdict(recipe),
        "budget": budget.to_dict(),
        "identity_probability": identity.p,
        "mean_costs": identity.means,
        "top1": top1,
        "history": [asdict(epoch) for epoch in history],
    }
    run.forget_search()
    write_atomic(run.training, json.dumps(about, indent=1) + "\n")
    write_atomic(run.data, json.dumps(images.to_dict()) + "\n")
    save_supernet(supernet, run.supernet)  # last: where it is, the rest is too
    settings = {key: about[key] for key in ("data", "sharing", "seed", "recipe", "budget")}
    run.record("train", found, settings, inputs, [run.supernet, run.training, run.data])
    return Trained(supernet, run.supernet, recipe.epochs, identity, top1)


def load_run_supernet(run: Run) -> Supernet:
    """The run's super-transformer. Raises InputError if it has none."""
    if not run.supernet.exists():
        raise InputError(f"The run {run.path} has no super-transformer.", "Run: vitas-hw train")
    return load_supernet(run.supernet)


def run_data_name(run: Run) -> str:
    """The data set the run's super-transformer was trained on. Raises FileError if the run no longer tells."""
    try:
        return str(json.loads(run.data.read_text(encoding="utf-8"))["name"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileError(f"{run.data} is missing or broken.", "Run: vitas-hw train") from error
