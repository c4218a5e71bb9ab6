"""The commands as people type them."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typed import run, run_json

import vitas_hw as vh
from vitas_hw.cli.main import main
from vitas_hw.core.presets import PRESETS
from vitas_hw.core.space import SearchSpace
from vitas_hw.supernet.weights_file import save_model

COMMAND = [sys.executable, "-c", "import sys; from vitas_hw.cli.main import main; sys.exit(main())"]
pytestmark = pytest.mark.usefixtures("brief")  # see brief_steps.py
SCORER = Path(__file__).parent / "score_without_us.py"


def write_images(folder: Path, count: int) -> None:
    """Noise, in ten folders of a class each."""
    rng = np.random.default_rng(0)
    for number in range(count):
        path = folder / str(number % 10) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8)).save(path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, small: SearchSpace) -> Path:
    """A folder in which train and profile have run with a small space."""
    folder = tmp_path_factory.mktemp("run")
    lines = [f"{key}: {list(value) if isinstance(value, tuple) else value}" for key, value in vars(small).items()]
    (folder / "small.yaml").write_text("\n".join(line for line in lines if line.split(":")[0] in small.to_dict()))
    checkpoint = run_json(folder, "train", "--space", "small.yaml", "--epochs", "4")
    assert set(checkpoint) == {"checkpoint", "epochs", "top1", "health", "largest_top1"}
    assert checkpoint["largest_top1"] is None  # it did not begin as a model
    assert [one["name"] for one in checkpoint["health"]["groups"][:3]] == ["smallest", "largest", "depth 1"]
    assert (folder / checkpoint["checkpoint"]).is_file()
    profiled = run_json(folder, "profile", "--num-subnets", "24")
    assert (profiled["ok"], profiled["failed"]) == (24, 0)
    assert 0 <= profiled["noise_floor"] < 10
    assert vh.load_profile(folder / profiled["profile"]).space == small
    assert vh.load_predictor(folder / profiled["predictor"]).space == small
    return folder


@pytest.fixture(scope="module")
def searched(trained: Path) -> Path:
    """The same after a search, in a process of its own, with no option but the budget."""
    told = subprocess.run(
        [*COMMAND, "search", "--latency", "5ms", "--json"], cwd=trained, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr
    (trained / "found.json").write_text(told.stdout)
    return trained


def test_search_and_export_follow(searched: Path) -> None:
    trained, found = searched, json.loads((searched / "found.json").read_text())
    assert found["top1_split"] == "search"
    assert found["budget"] == {"latency_ms": [None, 5.0]}
    assert found["measured_ms"] <= 5.0
    assert found["predicted_ms"] <= 5.0
    assert (found["onnx"], found["run"]) == (None, "runs/default")
    subnet = vh.Subnet.from_dict(found["subnet"])
    assert (subnet.macs, subnet.params) == (found["macs"], found["params"])

    exported = run_json(trained, "export", "--onnx")
    assert exported["agreement"] == 1.0
    assert exported["largest_difference"] <= 1e-4
    scored = subprocess.run(
        [sys.executable, SCORER, exported["onnx"], "runs/default/data.json"],
        cwd=trained,
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(scored.stdout) == pytest.approx(exported["top1"], abs=1e-9)
    assert exported["top1"] > 0.3  # four epochs of a tiny supernet; chance is 0.1


def test_the_manifest_tells_every_step(searched: Path) -> None:
    manifest = json.loads((searched / "runs/default/run.json").read_text())
    assert [step["step"] for step in manifest["steps"]][:2] == ["train", "profile"]
    told = next(step for step in manifest["steps"] if step["step"] == "search")  # by a process of its own
    assert told["command"][:3] == ["search", "--latency", "5ms"]
    for step in manifest["steps"]:
        assert step["outputs"]
        assert "vitas-hw" in step["versions"]
    assert str(searched) not in json.dumps(manifest)


@pytest.mark.full
def test_the_same_search_again_is_the_same_byte_for_byte(trained: Path) -> None:
    files = []
    for _ in range(2):
        run_json(trained, "search", "--latency", "5ms", "--population", "6", "--generations", "3", "--seed", "4")
        files.append((trained / "runs/default/candidates.jsonl").read_bytes())
    assert files[0] == files[1]
    known = json.loads((trained / "runs/default/search.json").read_text())["known"]
    assert files[0].count(b"\n") == 18 + known


def test_a_search_by_size_needs_nothing_trained_and_says_so_everywhere(trained: Path) -> None:
    where = ["--run", "runs/params"]
    words = ["search", "--accuracy", "params", "--flops", "8M", "--population", "4", "--generations", "2", *where]
    done = run(trained, *words)
    assert done.returncode == 0, done.stderr
    assert "ranked by their number of parameters" in done.stderr
    assert "Next: vitas-hw retrain" in done.stdout
    found = run_json(trained, *words)
    assert (found["accuracy"], found["top1"], found["top1_inherited"]) == ("params", None, None)
    assert found["params"] == vh.Subnet.from_dict(found["subnet"]).params
    folder = trained / "runs/params"
    assert json.loads((folder / "search.json").read_text())["accuracy"] == "params"
    rows = [json.loads(line) for line in (folder / "candidates.jsonl").read_text().splitlines()]
    assert len(rows) == 8
    assert all("top1" not in row for row in rows)
    assert max(row["params"] for row in rows) == found["params"]
    assert not (folder / "choice.safetensors").exists()
    exported = run(trained, "export", "--onnx", *where)
    assert exported.returncode == 0, exported.stderr
    assert "fresh, not trained" in exported.stderr
    assert "they have to be trained" in exported.stderr


def test_a_search_without_a_budget_takes_one_that_binds(trained: Path, small: SearchSpace) -> None:
    import numpy as np

    # whether a busy machine measures anything inside it is not asked here
    done = run(trained, "search", "--population", "6", "--generations", "2")
    told = re.search(
        r"no budget given; using one that 15% of random subnets meet: latency at most ([0-9.]+) ms", done.stderr
    )
    assert told, done.stderr
    high = float(told[1])
    (path,) = (trained / "runs/default/predictors").glob("*.json")
    codes = small.sample_codes(3000, np.random.default_rng(5))
    latencies = vh.load_predictor(path).predict_columns(small.columns(codes)).latency_ms
    assert (latencies <= high).mean() <= 1 / 6


def test_tables_are_for_people(trained: Path) -> None:
    done = run(trained, "search", "--flops", "2M", "--population", "4", "--generations", "2")
    assert done.returncode == 0, done.stderr
    for word in ("inherited", "final", "predicted", "measured", "Next: vitas-hw export --onnx"):
        assert word in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines())


def test_training_for_a_latency_uses_the_runs_predictor(trained: Path) -> None:
    done = run(trained, "train", "--latency", "0.001ms")
    assert done.returncode == 2
    assert "predicted latency from" in done.stderr
    done = run(trained, "train", "--latency", "0.001ms", "--depths", "identity")
    assert done.returncode == 2
    assert "means reach" in done.stderr


# what is typed: (words, what stderr says)
MISTAKES = [
    (["search", "--latency", "0.001ms"], ["at most 0.001 ms", "predicted latency from", "Try --latency"]),
    (["search", "--latency", "5"], ["--latency '5' has no unit; known units: us, ms, s.", "Example: --latency 5ms"]),
    (["search", "--latency", "5min"], ["has the unit 'min'; known units: us, ms, s.", "Example: --latency 5ms"]),
    (["search", "--run", "runs/nothing"], ["has no supernet", "Run: vitas-hw train"]),
    (["search", "--accuracy", "guess"], ["Unknown accuracy 'guess'", "Known: supernet, params"]),
    (["search", "--accuracy", "proxy"], ["The training-free proxy is gone", "Use --accuracy params."]),
    (["search", "--population", "1"], ["--population must be at least 2, not 1."]),
    (["profile", "--device", "cuda:7"], ["There is no device 'cuda:7'", "Try --device cpu"]),
    (["profile", "--num-subnets", "3"], ["--num-subnets must be at least 20, to fit a predictor, not 3."]),
    (["profile", "--device-name", "My PC", "--num-subnets", "20"], ["not 'My PC'", "Try 'my-pc'"]),
    (["profile", "--space", "nope"], ["Unknown space 'nope'", "Known: vitas-deit-tiny"]),
    (["train", "--space", "nope", "--run", "runs/new"], ["Unknown space 'nope'", "Known: vitas-deit-tiny"]),
    (["train", "--space", "missing.yaml", "--run", "runs/new"], ["Cannot read the space missing.yaml"]),
    (["train", "--space", "vitas-digits"], ["is one of the space 'small'", "--run runs/vitas-digits"]),
    (["train", "--data", "imagenet"], ["Unknown data set 'imagenet'", "Known: digits"]),
    (
        ["train", "--space", "vitas-deit-tiny", "--run", "runs/new"],
        ["digits has 10 classes; space 'vitas-deit-tiny' has 1000", "num_classes: 10"],
    ),
    (["train", "--sharing", "random"], ["--sharing must be one of ordinal, bilateral, cyclic, not 'random'."]),
    (["train", "--epochs", "0"], ["--epochs must be at least 1"]),
    (["train", "--run", "small.yaml"], ["Cannot write to the run directory small.yaml", "--run"]),
    (["profile", "--run", "small.yaml"], ["Cannot write to the run directory small.yaml", "--run"]),
    (["profile", "--seed", "5000000000"], ["--seed must be at least 0 and at most 4294967295"]),
    (["quickstart", "--epochs", "0", "--run", "runs/new"], ["--epochs must be at least 1"]),
    (["export"], ["Say which format", "--onnx"]),
    (["report", "--run", "runs/nothing"], ["There is no run in runs/nothing.", "Run: vitas-hw quickstart"]),
    (["report", "--output", "."], [". is a directory", "--output report.html"]),
    (["runs", "nowhere"], ["There is no folder nowhere", "Run: vitas-hw quickstart"]),
    (
        ["export", "--onnx", "--run", "runs/nothing"],
        ["has no choice: no search has finished in it", "Run: vitas-hw search"],
    ),
    (["train", "--init", "vit_tinny"], ["vit_tinny is neither a model that timm knows nor a file", "Names like it: "]),
    (["train", "--init", "none.pth"], ["There is no file none.pth", "NAME:FILE"]),
    (
        ["train", "--init", "deit_tiny_patch16_224:none.pth"],
        ["Cannot read the weights none.pth: No such file or directory."],
    ),
    (["train", "--teacher", "resnet1"], ["The teacher resnet1 is neither a model that timm knows"]),
    (["train", "--private", "heads"], ["Unknown private part 'heads'", "Known: patch_embed, cls_token, pos_embed, qk"]),
    (["train", "--max-time", "soon"], ["--max-time: Invalid duration 'soon'; use for example 90s, 30m, 8h."]),
    (["train", "--device", "cuda:7"], ["no device 'cuda:7' to train on; here: cpu", "--device cpu"]),
    (["train", "--autocast", "int8"], ["--autocast must be one of bf16, fp16, fp32, not 'int8'."]),
    (["train", "--accumulate", "7"], ["--accumulate must be a divisor of the batch size 64, not 7."]),
    (["train", "--search-share", "2"], ["--search-share must be above 0 and below 1, not 2.0."]),
    (["train", "--workers", "-1"], ["--workers must be at least 0"]),
    (["evaluate"], ["No subnet was given", "--random 10"]),
    (["evaluate", "huge"], ["Unknown subnet 'huge'", "Known: smallest, largest, vitas-a"]),
    (["evaluate", "vitas-c"], ["is not in the run's space 'small'"]),
    (["evaluate", "none.json"], ["Cannot read the subnet none.json"]),
    (["evaluate", "small.yaml"], ["small.yaml, line 1, holds no subnet"]),
    (["evaluate", "--random", "1", "--split", "train"], ["--split must be one of search, test, not 'train'."]),
    (["evaluate", "--random", "1", "--run", "runs/nothing"], ["has no supernet", "Run: vitas-hw train"]),
    (["spaces", "missing.yml"], ["Cannot read the space missing.yml"]),
    (["spaces", "vitas-digits", "--for", "digits"], ["Give the name of a space, or --for DATA"]),
    (["spaces", "--init", "deit_tiny_patch16_224"], ["Give the name of a space, or --for DATA"]),
    (["spaces", "--for", "folder:none"], ["none is not a folder", "--data folder:PATH"]),
    (["nonsense"], ["No such command 'nonsense'", "See: vitas-hw --help"]),
    (["search", "--nonsense"], ["No such option", "See: vitas-hw search --help"]),
]


@pytest.mark.parametrize(("words", "said"), MISTAKES, ids=[" ".join(words) for words, _ in MISTAKES])
def test_a_mistake_is_a_sentence_and_the_next_step(
    trained: Path,
    words: list[str],
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(trained)
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    for part in said:
        assert part in printed.err
    assert len(printed.err.splitlines()) <= 3


def test_an_export_into_no_folder_is_refused(searched: Path) -> None:
    done = run(searched, "export", "--onnx", "--output", "no/where/model.onnx")
    assert done.returncode == 2
    assert "folder no/where does not exist" in done.stderr
    done = run(searched, "export", "--onnx", "--output", ".")
    assert done.returncode == 2
    assert ". is a directory" in done.stderr


@pytest.mark.full
def test_a_new_supernet_forgets_the_choice_of_the_old_one(trained: Path, small: SearchSpace) -> None:
    words = ("--run", "runs/again")
    run_json(trained, "train", "--space", "small.yaml", "--epochs", "1", *words)
    run_json(trained, "search", "--flops", "2M", "--population", "4", "--generations", "1", *words)
    run_json(trained, "export", "--onnx", *words)
    (trained / "runs/again/data.json").rename(trained / "kept.json")
    done = run(trained, "export", "--onnx", *words)
    assert done.returncode == 2
    assert "data.json is missing or broken" in done.stderr
    (trained / "kept.json").rename(trained / "runs/again/data.json")
    assert run_json(trained, "train", "--epochs", "1", "--seed", "1", "--flops", "250K-320K", *words)["epochs"] == 1
    done = run(trained, "export", "--onnx", *words)
    assert done.returncode == 2
    assert "has no choice: no search has finished in it" in done.stderr
    assert not (trained / "runs/again/choice.onnx").exists()


def test_evaluate_scores_named_listed_and_random_subnets(trained: Path, small: SearchSpace) -> None:
    (trained / "one.json").write_text(small.sample(3).to_json())
    (trained / "two.jsonl").write_text(small.sample(4).to_json() + "\n\n" + small.sample(5).to_json() + "\n")
    words = ["evaluate", "smallest", "one.json", "two.jsonl", "--random", "2", "--seed", "1"]
    found = run_json(trained, *words)
    assert found["split"] == "search"
    subnets = [vh.Subnet.from_dict(row["subnet"]) for row in found["rows"]]
    assert subnets[:4] == [small.smallest, small.sample(3), small.sample(4), small.sample(5)]
    assert len(subnets) == 6
    assert all(0 <= row["top1"] <= row["top5"] <= 1 for row in found["rows"])
    assert max(row["top5"] for row in found["rows"]) > 0.5  # of ten classes
    assert run_json(trained, *words) == found
    assert run_json(trained, *words, "--split", "test") != found
    table = run(trained, "evaluate", "largest").stdout
    assert small.largest.digest[:8] in table
    assert "top-5" in table


def test_max_time_stops_cleanly_and_the_same_command_goes_on(trained: Path) -> None:
    words = ["train", "--space", "small.yaml", "--epochs", "2", "--run", "runs/timed"]
    stopped = run(trained, *words, "--max-time", "0.001s")
    assert stopped.returncode == 0, stopped.stderr
    assert "time is up" in stopped.stderr
    assert "Checkpoint: runs/timed/training.pt" in stopped.stdout
    assert not (trained / "runs/timed/supernet.safetensors").exists()
    other = run(trained, *words, "--lr", "1e-4")
    assert other.returncode == 2
    assert "unfinished training with other settings (lr)" in other.stderr
    assert "--fresh" in other.stderr
    resumed = run(trained, *words)
    assert "going on from runs/timed/training.pt: epoch 1, step 2" in resumed.stderr
    assert not (trained / "runs/timed/training.pt").exists()
    assert run_json(trained, *words, "--fresh")["epochs"] == 2


def test_every_option_of_training_reaches_it(trained: Path) -> None:
    write_images(trained / "pictures", 200)
    where = ["--run", "runs/options", "--space", "small.yaml", "--data", "folder:pictures", "--device", "cpu"]
    how = "--sharing bilateral --private qk,pos_embed --sandwich --ema 0.9 --accumulate 2 --autocast bf16 --lr 0.002"
    rest = "--epochs 1 --batch-size 32 --search-share 0.2 --seed 3 --workers 1"
    run_json(trained, "train", *where, *how.split(), *rest.split())
    about = json.loads((trained / "runs/options/train.json").read_text())
    recipe = about["recipe"]
    assert (about["sharing"], about["private"], about["seed"]) == ("bilateral", ["qk", "pos_embed"], 3)
    assert (recipe["sandwich"], recipe["ema"], recipe["accumulate"], recipe["autocast"]) == (True, 0.9, 2, "bf16")
    assert (recipe["lr"], recipe["batch_size"], about["search_share"]) == (0.002, 32, 0.2)
    supernet = vh.load_supernet(trained / "runs/options/supernet.safetensors")
    assert (supernet.sharing, supernet.private) == ("bilateral", ("pos_embed", "qk"))
    small_search = ["--flops", "3M", "--population", "4", "--generations", "2"]
    searched = run(trained, "search", "--run", "runs/options", *small_search)
    assert searched.returncode == 0, searched.stderr
    assert (
        json.loads((trained / "runs/options/run.json").read_text())["steps"][-1]["settings"]["finetune"]["epochs"] == 4
    )
    exported = run_json(trained, "export", "--onnx", "--run", "runs/options")
    assert (exported["agreement"], exported["images"]) == (1.0, 40)


def test_a_space_without_identity_shifting_and_with_nothing_private_goes_the_whole_road(trained: Path) -> None:
    text = (trained / "small.yaml").read_text() + "\nidentity_shifting: false\n"
    (trained / "unshifted.yaml").write_text(text)
    where = ["--run", "runs/unshifted"]
    run_json(trained, "train", "--space", "unshifted.yaml", "--private", "none", "--epochs", "2", *where)
    run_json(trained, "search", "--flops", "3M", "--population", "6", "--generations", "2", *where)
    candidates = "runs/unshifted/candidates.jsonl"
    lines = [json.loads(line) for line in (trained / candidates).read_text().splitlines()]
    assert any(line["layers"] != list(range(len(line["layers"]))) for line in lines)
    found = run_json(trained, "evaluate", candidates, "--split", "search", *where)
    assert [row["top1"] for row in found["rows"]] == pytest.approx([line["top1"] for line in lines])
    assert run_json(trained, "export", "--onnx", *where)["agreement"] == 1.0


def test_training_starts_from_a_pretrained_vit(trained: Path, small: SearchSpace) -> None:
    subnet = small.sample(2)
    save_model(vh.build_model(subnet, seed=5), subnet, trained / "vit.safetensors")
    words = ["--space", "small.yaml", "--run", "runs/init", "--init", "vit.safetensors", "--epochs", "1"]
    done = run(trained, "train", *words)
    assert done.returncode == 0, done.stderr
    told = f"starts from vit.safetensors, its subnet {subnet.digest}; sorted by: 128 images; fresh: the blocks"
    assert told in done.stderr


def test_a_space_around_a_model_goes_the_whole_road(trained: Path) -> None:
    shape = vh.Subnet((32, 32), 1, 8, 24, (vh.Block(2, 8, 32),) * 4, 12)
    save_model(vh.build_model(shape, seed=5), shape, trained / "whole.safetensors")
    model, where = ["--init", "whole.safetensors"], ["--run", "runs/around"]
    found = run_json(trained, "spaces", "--for", "digits", "--output", "around.yaml", *model)
    order = found["rows"][0]["space"]["block_order"]
    assert sorted(order) == [0, 1, 2, 3]
    done = run(trained, "train", "--space", "around.yaml", "--epochs", "2", *model, *where)
    assert "not used: its classifier of 12 classes (one of 10 is fitted to 1077 images)" in done.stderr, done.stderr
    assert "fresh" not in done.stderr
    before, after = json.loads((trained / "runs/around/train.json").read_text())["largest_top1"]
    assert f"its top-1 on the search split: {before:.2%}" in done.stderr
    assert f"after (search split) │ {after:.1%}" in " ".join(done.stdout.split())
    run_json(trained, "search", "--flops", "150K", "--population", "6", "--generations", "2", *where)
    candidates = "runs/around/candidates.jsonl"
    lines = [json.loads(line) for line in (trained / candidates).read_text().splitlines()]
    assert any(len(line["subnet"]["blocks"]) < 4 for line in lines)
    found = run_json(trained, "evaluate", candidates, "--split", "search", *where)
    assert [row["top1"] for row in found["rows"]] == pytest.approx([line["top1"] for line in lines])
    assert run_json(trained, "export", "--onnx", *where)["agreement"] == 1.0


def test_a_corrupt_image_ends_the_training_in_a_sentence_and_it_goes_on_once_repaired(trained: Path) -> None:
    write_images(trained / "photos", 60)
    words = ["--space", "small.yaml", "--run", "runs/photos", "--data", "folder:photos", "--device", "cpu"]
    words += ["--epochs", "2", "--batch-size", "8"]
    assert "time is up" in run(trained, "train", *words, "--max-time", "0.001s").stderr
    state = trained / "runs/photos/training.pt"
    kept, good = state.read_bytes(), {path: path.read_bytes() for path in trained.glob("photos/*/*.png")}
    for path, content in good.items():
        path.write_bytes(content[:60])
    done = run(trained, "train", *words)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-2].startswith("Error: ")
    assert ".png" in done.stderr
    assert "Traceback" not in done.stderr
    assert state.read_bytes() == kept
    for path, content in good.items():
        path.write_bytes(content)
    assert run_json(trained, "train", *words)["epochs"] == 2


def test_ctrl_c_stops_cleanly_and_the_same_command_goes_on(trained: Path) -> None:
    words = ["profile", "--space", "small.yaml", "--run", "runs/stopped", "--num-subnets", "200"]
    journal = "runs/stopped/profiles/*.journal.jsonl"
    stopped = subprocess.Popen(COMMAND + words, cwd=trained, stderr=subprocess.PIPE, text=True)
    for _ in range(600):
        if any(path.read_text().count("\n") > 5 for path in trained.glob(journal)):
            break
        time.sleep(0.1)
    stopped.send_signal(signal.SIGINT)
    said = stopped.communicate()[1]
    assert stopped.returncode == 130
    assert "Interrupted. Timings, evaluations and checkpoints so far are kept; to resume:\n" in said
    assert said.endswith(f"vitas-hw {' '.join(words)}\n")
    assert "Traceback" not in said
    (path,) = trained.glob(journal)
    kept = path.read_text().splitlines()
    again = subprocess.run([*COMMAND, *words[:-1], "24", "--json"], cwd=trained, capture_output=True, text=True)
    assert json.loads(again.stdout)["ok"] == 24, again.stderr
    assert path.read_text().splitlines()[: len(kept)] == kept


def test_debug_shows_the_traceback(trained: Path) -> None:
    done = run(trained, "--debug", "spaces", "nope")
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert "Unknown space 'nope'" in done.stderr


def test_version_and_bare_command(tmp_path: Path) -> None:
    assert run(tmp_path, "--version").stdout.startswith("vitas-hw 0.")
    bare = run(tmp_path)
    assert bare.returncode == 0
    assert "quickstart" in bare.stdout


def test_spaces_lists_the_presets(tmp_path: Path) -> None:
    rows = run_json(tmp_path, "spaces")["rows"]
    assert [row["space"]["name"] for row in rows] == list(PRESETS)
    assert len(rows) == 7
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1, 2]", "it has no fields"),
        ("a: [", "is not YAML"),
        ("patch_sizes: 5", "describes no space"),
        ("colour: red", "unknown field 'colour'"),
        ("mlp_dims: 2020-13-45", "is not YAML: month must be in 1..12"),
        ("mlp_dims: 2020-12-24", "describes no space"),
        ("[" * 5000, "is not YAML"),
        ("!!python/object/apply:os.system ['true']", "is not YAML"),
    ],
)
def test_a_broken_space_file_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    done = run(tmp_path, "spaces", "mine.yaml")
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.full
def test_quickstart_gives_an_accurate_model_inside_its_budget(tmp_path: Path) -> None:
    found = run_json(tmp_path, "quickstart")
    assert found["top1_split"] == "test"
    assert found["top1"] >= 0.95
    assert found["measured_ms"] <= found["budget"]["latency_ms"][1]
    scored = subprocess.run(
        [sys.executable, SCORER, found["onnx"], "runs/default/data.json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(scored.stdout) == pytest.approx(found["top1"], abs=1e-9)
    assert run_json(tmp_path, "search", "--latency", "5ms")["measured_ms"] <= 5.0
    retrained = run_json(tmp_path, "retrain", "--init", "supernet")
    assert retrained["top1"] >= retrained["inherited_top1"]
    for name, report in run_json(tmp_path, "export", "--onnx", "--openvino", "--precision", "int8")["reports"].items():
        assert report["exported"]["top1"] - report["exported"]["others"][name]["top1"] <= 0.01
