"""How fast training is beside a bare loop and timm's own loader; threads; what a GPU would have to launch."""

from __future__ import annotations

from .parts import Found, Part, Section, against, table


def loop(found: Found) -> str:
    rows = []
    for name, case in found["cases"].items():
        ratio, goal = case["ratio"]["clock"], case["ratio"]["goal"]
        shown = f"{ratio['median']:.3f} ({ratio['q1']:.3f} to {ratio['q3']:.3f})"
        rows.append((name, case["batch_size"], against(shown, f"{goal}", ratio["median"] >= goal)))
    head = ("net and images", "batch", "images a second over a bare PyTorch loop's: median (quartiles)")
    return table(head, rows)


def loader(found: Found) -> str:
    rows = []
    for workers, one in found["workers"].items():
        ratio, low_high = one["ratio"], one["ratio"]["median_95"]
        shown = f"{ratio['median']:.3f} ({low_high[0]:.3f} to {low_high[1]:.3f})"
        rows.append((workers, against(shown, f"{ratio['goal']:g}", ratio["median"] >= ratio["goal"])))
    head = ("workers", "images a second over timm's `create_loader`: median (95%)")
    return (
        f"{table(head, rows)}\nFolders of JPEGs decoded, augmented and batched, alternating. Where the interval holds 1"
        " the two are equal as far as these rounds can tell."
    )


def threads(found: Found) -> str:
    goal = found["goal"]
    rows = [
        (
            row["net"],
            row["way"],
            against(f"{row['cpu_ratio']:.2f}", f"{goal}", row["cpu_ratio"] <= goal)
            if row["way"] == "ours"
            else f"{row['cpu_ratio']:.2f}",
            f"{row['wall_ratio']:.2f}",
        )
        for row in found["beside_others"]
    ]
    best = [(row["net"], row["rule"], f"{row['of_the_best']:.2f}") for row in found["alone"]]
    head = ("while others take half of the CPUs, over alone", "", "CPU seconds", "clock")
    first = table(("net", "threads that it takes", "of the best number"), best)
    return f"{first}\n{found.get('note', '')}\n\n{table(head, rows)}"


def launches(found: Found) -> str:
    ratio, mean, goal = found["ratio"]["median"], found["mean"], found["goal"]
    return (
        "Kernels that a supernet's training step launches over those of the plain model of the same subnet, counted"
        " on a CPU by torch's dispatcher:"
        f" {against(f'{ratio:.2f}', f'{goal}', ratio <= goal)} at the median ({mean['supernet']:.0f} and"
        f" {mean['plain']:.0f} on average)."
    )


TRAINING = Section(
    "Training",
    (
        Part(
            "How fast is the training loop?",
            "python benchmarks/training_loop.py",
            ("results/training_loop.json",),
            loop,
        ),
        Part(
            "How fast is the training loop with the smallest net, in more rounds?",
            "python benchmarks/training_loop.py --rounds 15 --only '1M MACs, as they are'",
            ("results/training_loop_1m.json",),
            loop,
        ),
        Part(
            "How fast do images come from a folder?",
            "python benchmarks/data_road.py",
            ("results/data_road.json",),
            loader,
        ),
        Part(
            "How many threads suit a training, and beside other work?",
            "python benchmarks/training_threads.py",
            ("results/training_threads.json",),
            threads,
        ),
        Part(
            "How many kernels does a training step launch?",
            "python benchmarks/launches.py",
            ("results/launches.json",),
            launches,
        ),
    ),
)
