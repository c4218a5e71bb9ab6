"""Does the supernet rank subnets as training them alone does?

    python benchmarks/rank_study.py train [--workers 2] [--minutes 60]   # what is missing; may be stopped and repeated
    python benchmarks/rank_study.py report                               # table, JSON and plot from the rows there
    ... --study gpu --workers 16 --data fashion-mnist:FOLDER --out OUT   # the larger one; the FOLDER of that package

Fashion-MNIST (Debian: apt-get install dataset-fashion-mnist), 28 x 28. Forty random subnets are trained alone, two
seeds each; a supernet is trained for each weight-sharing scheme, three seeds each, then with one factor
changed at a time. Every finished net is one line of ``results/rank_study.jsonl`` (of the GPU's study
``rank_study_gpu.jsonl``), with what it was trained on, so that the study can go on later and in parts. One such net
alone leaves a GPU idle, waiting for launches: there the processes share it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from bench_tools import identity_codes

import vitas_hw as vh
from vitas_hw.core import identity_depths

RESULTS = Path(__file__).parent / "results"
SPACE = vh.SearchSpace(
    name="rank-fashion",
    image_size=(28, 28),
    in_chans=1,
    num_classes=10,
    patch_sizes=(4, 7, 14),
    embed_dims=(16, 24, 32, 48, 64),
    depth=(1, 4),
    num_heads=(2, 4),
    attn_dims=(16, 32, 48, 64),
    mlp_dims=(32, 64, 96, 128),
)
SUBNETS, ALONE_SEEDS, SUPERNET_SEEDS = 40, (0, 1), (0, 1, 2)
VARIANTS = {  # name: sharing, private parts, identity shifting, sandwich
    "ordinal": ("ordinal", True, True, False),
    "bilateral": ("bilateral", True, True, False),
    "cyclic": ("cyclic", True, True, False),
}
ABLATED = "cyclic"  # the scheme of which one factor at a time is changed
ABLATIONS = {
    "nothing private": (ABLATED, False, True, False),
    "no identity shifting": (ABLATED, True, False, False),
    "sandwich": (ABLATED, True, True, True),
}


@dataclass(frozen=True)
class Study:
    """How large a study is, ``images`` None for all of them; ``name`` of its files."""

    name: str
    images: int | None
    alone_epochs: int
    supernet_epochs: int
    batch_size: int
    device: str
    data: str = "fashion-mnist"


CPU = Study("rank_study", 8_000, 20, 60, 64, "cpu")
STUDIES = {"cpu": CPU, "gpu": Study("rank_study_gpu", None, 40, 100, 256, "cuda")}


@dataclass(frozen=True)
class Job:
    """One net to train: a subnet alone (``name`` its digest), or a supernet (``name`` its variant)."""

    kind: str
    name: str
    seed: int

    @property
    def key(self) -> tuple[str, str, int]:
        return self.kind, self.name, self.seed


def subnets() -> list[vh.Subnet]:
    rng = np.random.default_rng(2021)
    chosen: dict[vh.Subnet, None] = {}
    while len(chosen) < SUBNETS:
        chosen.setdefault(SPACE.decode(identity_codes(SPACE, 1, rng, 0.5)[0]))
    return list(chosen)


def jobs() -> list[Job]:
    """The most telling first."""
    digests = [subnet.digest for subnet in subnets()]
    order = [Job("alone", digest, 0) for digest in digests]
    order += [Job("supernet", name, seed) for seed in SUPERNET_SEEDS[:2] for name in VARIANTS]
    order += [Job("alone", digest, seed) for seed in ALONE_SEEDS[1:] for digest in digests]
    order += [Job("supernet", name, seed) for seed in SUPERNET_SEEDS[2:] for name in VARIANTS]
    return order + [Job("supernet", name, seed) for seed in SUPERNET_SEEDS for name in ABLATIONS]


def data(study: Study = CPU) -> Any:
    """Some of the training images; the search part and the test part whole, on the study's device."""
    whole = vh.load_data(study.data, SPACE)
    chosen = np.sort(np.random.default_rng(0).permutation(len(whole.train))[: study.images])
    search, test = (split.to(study.device) for split in (whole.search, whole.test))
    return replace(whole, train=whole.train.subset(chosen.tolist()), search=search, test=test)


def recipe(epochs: int, study: Study = CPU) -> Any:
    """Fashion-MNIST's, with a higher peak: the nets are small."""
    from vitas_hw.training import FASHION, of_length

    return replace(of_length(FASHION, epochs), batch_size=study.batch_size, lr=3e-3)


def run(job: Job, study: Study = CPU) -> dict[str, Any]:
    """Train one net on one thread; the row that it leaves."""
    import torch

    torch.set_num_threads(1)
    started = time.perf_counter()
    images = data(study)
    row = train_alone(job, study, images) if job.kind == "alone" else train_supernet(job, study, images)
    about = {"images": len(images.train), "seconds": round(time.perf_counter() - started, 1)}
    return asdict(job) | row | about


def train_alone(job: Job, study: Study, images: Any) -> dict[str, Any]:
    from vitas_hw.training import ModelObjective, Runtime, Training, accuracy

    subnet, how = next(one for one in subnets() if one.digest == job.name), recipe(study.alone_epochs, study)
    model, runtime = vh.build_model(subnet, seed=job.seed), Runtime(device=study.device)
    history = Training(
        ModelObjective(model, how), images.train, how, seed=job.seed, num_classes=10, runtime=runtime
    ).run()
    assert history is not None
    found = {part: accuracy(model, getattr(images, part)).top1 for part in ("search", "test")}
    return {"epochs": how.epochs, "top1": found, "losses": [round(loss, 4) for loss in history]}


def train_supernet(job: Job, study: Study, images: Any) -> dict[str, Any]:
    from vitas_hw.supernet.options import PRIVATE
    from vitas_hw.training import Runtime, SupernetObjective, Training, subnet_accuracy

    sharing, private, shifting, sandwich = (VARIANTS | ABLATIONS)[job.name]
    space, how = replace(SPACE, identity_shifting=shifting), recipe(study.supernet_epochs, study)
    how = replace(how, sandwich=sandwich)
    supernet = vh.build_supernet(space, sharing, private=PRIVATE if private else (), seed=job.seed)
    objective, runtime = (
        SupernetObjective(supernet, how, depths=identity_depths(space, 0.5)),
        Runtime(device=study.device),
    )
    history = Training(objective, images.train, how, seed=job.seed, num_classes=10, runtime=runtime).run()
    assert history is not None
    rng = np.random.default_rng(7)
    scores = {}
    for subnet in subnets():
        # without shifting a subnet may run on any blocks of the supernet: on some, drawn once for all seeds
        spread = np.sort(rng.permutation(space.depth[1])[: subnet.depth]).tolist()
        layers = None if shifting else spread
        found = {p: subnet_accuracy(supernet, subnet, getattr(images, p), layers).top1 for p in ("search", "test")}
        scores[subnet.digest] = found
    return {"epochs": how.epochs, "top1": scores, "losses": [round(loss, 4) for loss in history]}


def rows(study: Study = CPU, folder: Path = RESULTS) -> list[dict[str, Any]]:
    path = folder / f"{study.name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def train(workers: int, minutes: float, study: Study = CPU, folder: Path = RESULTS) -> None:
    done = {(row["kind"], row["name"], row["seed"]) for row in rows(study, folder)}
    missing = [job for job in jobs() if job.key not in done]
    print(f"{len(done)} nets trained, {len(missing)} missing", flush=True)
    deadline = time.monotonic() + 60 * minutes
    folder.mkdir(parents=True, exist_ok=True)
    # spawned: CUDA does not survive a fork
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = iter(missing)
        running = {pool.submit(run, job, study) for job in islice(waiting, workers)}
        while running:
            finished = next(as_completed(running))
            running.remove(finished)
            row = finished.result()
            with (folder / f"{study.name}.jsonl").open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(row["kind"], row["name"], row["seed"], f"{row['seconds']} s", flush=True)
            job = next(waiting, None)
            if job is not None and time.monotonic() < deadline:
                running.add(pool.submit(run, job, study))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=["train", "report"])
    parser.add_argument("--study", choices=STUDIES, default="cpu")
    parser.add_argument("--data", default=CPU.data)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--minutes", type=float, default=60, help="start no net after this long")
    given = parser.parse_args()
    study = replace(STUDIES[given.study], data=given.data)
    if given.step == "train":
        train(given.workers, given.minutes, study, given.out)
    else:
        from rank_report import report

        report(rows(study, given.out), given.out, study)


if __name__ == "__main__":
    main()
