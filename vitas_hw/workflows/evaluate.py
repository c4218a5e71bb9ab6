"""Accuracy of subnets with the weights of a run's super-transformer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.published import PUBLISHED, published_subnet
from vitas_hw.core.reading import parse_json, read_text, reason
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.training.evaluate import Accuracy, subnet_accuracy
from vitas_hw.training.ranks import Ranks, pick_device
from vitas_hw.workflows.progress import SILENT, Progress
from vitas_hw.workflows.run import Run
from vitas_hw.workflows.train import load_run_data, load_run_supernet

SPLITS = ("test", "search")
Layers = tuple[int, ...] | None


@dataclass(frozen=True)
class Evaluated:
    """A subnet and its accuracy with inherited weights; ``layers`` as of ``Supernet.forward``."""

    subnet: Subnet
    accuracy: Accuracy
    layers: Layers = None


def evaluate(
    run: Run,
    subnets: Sequence[str] = (),
    *,
    random: int = 0,
    split: str = "test",
    seed: int = 0,
    device: str = "auto",
    progress: Progress = SILENT,
) -> list[Evaluated]:
    """Top-1 and top-5 of subnets of the run's space; the images are decoded once and kept on the device.

    Args:
        run: has been trained.
        subnets: ``smallest``, ``largest``, published names, or files: a subnet's JSON, or one a line.
        random: how many random subnets besides.
        split: ``test``, the images that nothing was chosen by, or ``search``.
        seed: of the random ones.
        device: ``auto`` takes a GPU if there is one.
        progress: where to report to.

    Raises:
        InputError: no subnet at all, one that is not of the run's space, an unknown split.
    """
    if split not in SPLITS:
        raise InputError(f"Unknown part {split!r} of the data.", f"Known: {', '.join(SPLITS)}.")
    space = run.space(None)
    chosen = [found for name in subnets for found in named_subnets(name, space)]
    for code in space.sample_codes(random, np.random.default_rng(seed)):
        chosen.append((space.decode(code), None if space.identity_shifting else space.layers(code)))
    if not chosen:
        raise InputError("No subnet was given to evaluate.", "Run: vitas-hw evaluate --random 10")
    for subnet, _ in chosen:
        if not space.contains(subnet):
            raise InputError(f"Subnet {subnet.digest} is not in the run's space {space.name!r}.")
    supernet = load_run_supernet(run)
    where = pick_device(device, Ranks())
    supernet.to(where)
    with progress.step("loading the images", 1) as advance:
        images = getattr(load_run_data(run, space), split).to(where)
        advance("")
    rows = []
    with progress.step(f"evaluating on {split}", len(chosen)) as advance:
        for subnet, layers in chosen:
            rows.append(Evaluated(subnet, subnet_accuracy(supernet, subnet, images, layers), layers))
            advance("")
    return rows


def named_subnets(name: str, space: SearchSpace) -> list[tuple[Subnet, Layers]]:
    """The subnets that a word of the command line means, see ``evaluate``, and the blocks they run on.

    Raises:
        InputError: an unknown word.
        FileError: a file that cannot be read or holds something else.
    """
    if name in ("smallest", "largest"):
        return [(getattr(space, name), None)]
    if name in PUBLISHED:
        return [(published_subnet(name), None)]
    path = Path(name)
    if not path.suffix:
        known = ", ".join(["smallest", "largest", *PUBLISHED])
        raise InputError(f"Unknown subnet {name!r}.", f"Known: {known}, or a file of JSON.")
    text = read_text(path, "the subnet")
    try:
        return [_subnet(parse_json(text))]
    except ValueError:
        pass  # then one a line
    except InputError as error:
        raise FileError(f"{path} holds no subnet: {error.problem}") from error
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            found += [_subnet(parse_json(line))] if line.strip() else []
        except (ValueError, InputError) as error:
            raise FileError(f"{path}, line {number}, holds no subnet: {reason(error)}.") from error
    return found


def _subnet(data: object) -> tuple[Subnet, Layers]:
    """A subnet's own JSON, or a line of a search's candidates."""
    if not (isinstance(data, dict) and "subnet" in data):
        return Subnet.from_dict(data), None
    layers = data.get("layers")
    if layers is not None and not (isinstance(layers, list) and all(type(layer) is int for layer in layers)):
        raise InputError("The layers of a candidate are whole numbers.")
    return Subnet.from_dict(data["subnet"]), None if layers is None else tuple(layers)
