"""The study whether the search pays: its nets, its loop, the sealed test part."""

import ast
import gzip
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))
sys.path.append(str(Path(__file__).parent.parent / "benchmarks/pays"))
import pays_finish
import pays_images
import pays_latency
import pays_nets
import pays_regime
import pays_report
import pays_search
import pays_train
import run_study
from pays_nets import CEILINGS, SPACE, Net, uniform
from pays_regime import Pilot
from pays_train import Recipe
from stops_after import StopsAfter

import vitas_hw as vh
from vitas_hw.core.files import append_line
from vitas_hw.supernet.weights_file import save_supernet

STUDY = Path(run_study.__file__).parent
LABELS_OF_TEST = "t10k-labels-idx1-ubyte.gz"
BRIEF = Recipe(epochs=2, batch_size=20, lr=3e-3, flip=True, shift=1)
TINY = uniform(7, 2, 8)


# the nets


def arm(name, ceiling):
    return [net.subnet for net in pays_nets.load() if (net.arm, net.ceiling) == (name, ceiling)]


@pytest.mark.parametrize(("name", "ceiling"), CEILINGS.items())
def test_nets_by_hand_are_the_widest_that_fit(name, ceiling):
    nets = arm("by hand", name)
    assert [(net.patch_size, net.depth) for net in nets] == [(4, 4), (4, 6), (7, 4), (7, 6)]
    for net in nets:
        assert 0.95 * ceiling <= net.macs <= ceiling
        assert len(set(net.blocks)) == 1
        assert uniform(net.patch_size, net.depth, net.embed_dim + 1).macs > ceiling
        ratio = net.blocks[0].mlp_dim / net.embed_dim
        assert ratio == 4 or uniform(net.patch_size, net.depth, net.embed_dim).macs < 0.95 * ceiling
        assert 4 <= ratio < 4.2


@pytest.mark.parametrize(("name", "ceiling"), CEILINGS.items())
def test_random_nets_lie_just_below_the_ceiling(name, ceiling):
    nets = arm("random", name)
    assert len(set(nets)) == 8
    assert all(SPACE.contains(net) and 0.9 * ceiling <= net.macs <= ceiling for net in nets)


@pytest.mark.parametrize(("name", "ceiling"), CEILINGS.items())
@pytest.mark.parametrize("cost", ["params", "macs"])
def test_no_random_subnet_that_fits_is_larger_than_the_largest(name, ceiling, cost):
    largest = next(n.subnet for n in pays_nets.load() if n.ceiling == name and n.why.lower() == LONG[cost])
    assert SPACE.contains(largest)
    assert largest.macs <= ceiling
    assert max(getattr(net, cost) for net in pays_nets.within(0.5 * ceiling, ceiling, 300, seed=5)) <= getattr(
        largest, cost
    )


LONG = {"params": "parameters", "macs": "macs"}


def test_the_most_parameters_are_found_where_all_subnets_can_be_counted(monkeypatch):
    small = replace(SPACE, embed_dims=(32, 64), depth=(2, 3), attn_dims=(16, 32), mlp_dims=(32, 96), num_heads=(2,))
    monkeypatch.setattr(pays_nets, "SPACE", small)
    codes = np.unique(small.sample_codes(5000, np.random.default_rng(0)), axis=0)
    every = [small.decode(code) for code in codes]
    assert len(every) == small.size
    for ceiling in (400_000, 900_000, 2_000_000):
        fitting = [net for net in every if net.macs <= ceiling]
        for cost in ("params", "macs"):
            found = pays_nets.largest(ceiling, cost, small.patch_sizes, small.embed_dims)
            assert found in fitting
            assert getattr(found, cost) == max(getattr(net, cost) for net in fitting)


# the loop


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Sixty images of two classes to learn, ten to test; no labels of the test part anywhere."""
    rng = np.random.default_rng(0)
    labels = np.arange(60, dtype=np.uint8) % 2
    pixels = rng.integers(0, 100, (60, 28, 28)).astype(np.uint8) + (labels * 150)[:, None, None].astype(np.uint8)
    idx(tmp_path / "train-images-idx3-ubyte.gz", 16, pixels)
    idx(tmp_path / "train-labels-idx1-ubyte.gz", 8, labels)
    idx(tmp_path / "t10k-images-idx3-ubyte.gz", 16, pixels[:10])
    monkeypatch.setattr(pays_images, "FOLDER", tmp_path)
    monkeypatch.setattr(pays_images, "SEARCH_IMAGES", 10)
    held_out = pays_images.stratified(labels.astype(np.int64), 10, pays_images.SEARCH_SEED)
    monkeypatch.setattr(pays_images, "SEARCH_DIGEST", pays_images.digest(held_out))
    return tmp_path


def idx(path, header, values):
    with gzip.open(path, "wb") as file:
        file.write(bytes(header) + values.tobytes())


@pytest.fixture
def study(folder, tmp_path, monkeypatch):
    """One net by hand, one random, at one ceiling; two pilots."""
    (tmp_path / "out").mkdir()
    for name, file in (("ROWS", "rows.jsonl"), ("PILOT", "pilot.jsonl"), ("SEARCHES", "searches.jsonl")):
        monkeypatch.setattr(run_study, name, tmp_path / "out" / file)
    monkeypatch.setattr(run_study, "SEALED", tmp_path / "out/sealed")
    monkeypatch.setattr(run_study, "CHECKPOINTS", tmp_path / "out/checkpoints")
    monkeypatch.setattr(run_study, "TEST", tmp_path / "out/test.json")
    nets = (Net("by hand", "1M", "patch 7, depth 2", TINY), Net("random", "1M", "0", uniform(7, 1, 8)))
    monkeypatch.setattr(run_study, "drawn", lambda: nets)
    for module in (run_study, pays_report):
        monkeypatch.setattr(module, "CEILINGS", {"1M": 1_000_000})
    monkeypatch.setattr(run_study, "SUPERNET_SEEDS", ())
    monkeypatch.setattr(run_study, "fixed", lambda pilots: BRIEF)
    pilots = {"one": Pilot("1M", 7, 2, BRIEF), "two": Pilot("1M", 7, 2, replace(BRIEF, shift=0))}
    monkeypatch.setattr(run_study, "PILOTS", pilots)
    return tmp_path / "out"


def test_the_study_trains_reports_and_stops_where_the_labels_would_be_read(study, folder, monkeypatch, capsys):
    opened = []
    really = gzip.open

    def open_and_note(path, *rest):
        opened.append(Path(path).name)
        return really(path, *rest)

    monkeypatch.setattr(gzip, "open", open_and_note)
    run_study.pilot(1)
    run_study.train(1)
    rows = run_study.read(run_study.ROWS)
    # by hand with three seeds, since it is the best of its one; the random one with two; the line's with two
    assert [(row["arm"], row["seed"]) for row in rows] == [
        ("by hand", 0),
        ("random", 0),
        ("best by hand", 1),
        ("best by hand", 2),
        ("line", 0),
        ("line", 1),
        ("random", 1),
    ]
    assert all(row["losses"][-1] < row["losses"][0] and row["cpu_s"] > 0 and row["images"] == 50 for row in rows)
    assert all(len(row["by_epoch"]) == 2 for row in run_study.read(run_study.PILOT))
    result = pays_report.report(rows, [], run_study.read(run_study.PILOT), run_study.TEST, study / "report.json")
    assert result["part"].startswith("search part")
    assert result["decision"]["claim"] is None
    assert len(run_study.read(run_study.PILOT)) == 2
    assert "t10k-images-idx3-ubyte.gz" in opened
    assert LABELS_OF_TEST not in opened
    with pytest.raises(FileNotFoundError, match=LABELS_OF_TEST):  # the end alone asks for them
        pays_finish.finish(rows, run_study.missing(rows, []), run_study.SEALED, run_study.TEST)
    idx(folder / LABELS_OF_TEST, 8, np.arange(10, dtype=np.uint8) % 2)
    pays_finish.finish(rows, run_study.missing(rows, []), run_study.SEALED, run_study.TEST)
    top1 = json.loads(run_study.TEST.read_text())["top1"]
    assert set(top1) == {row["sealed"] for row in rows}
    for row in rows:
        sealed = np.load(run_study.SEALED / f"{row['sealed']}.npz")["test"]
        assert top1[row["sealed"]] == np.mean(sealed == np.arange(10) % 2)
    assert pays_report.analyse(rows, [], [], run_study.TEST)["part"] == "test part"
    with pytest.raises(SystemExit, match="It is read once"):
        pays_finish.finish(rows, [], run_study.SEALED, run_study.TEST)


def test_several_processes_share_the_study(study):
    def chosen(claims):
        return run_study.next_job(claims.taken)

    with run_study.Claims() as one:
        with run_study.Claims() as other:
            first, second = chosen(one), chosen(other)
            assert (first.net.arm, second.net.arm) == ("by hand", "random")
            assert chosen(one).key not in (first.key, second.key)
        assert chosen(one) == second  # a process that ended leaves its net to others


def test_no_arm_is_trained_before_the_pilot_has_fixed_the_regime(study, monkeypatch):
    monkeypatch.setattr(run_study, "fixed", pays_regime.fixed)
    with pytest.raises(SystemExit, match="no net of an arm is trained before"):
        run_study.train(1)
    assert not run_study.ROWS.exists()


def test_no_second_recipe_beside_the_first(study, monkeypatch):
    run_study.train(1)
    rows = run_study.read(run_study.ROWS)
    monkeypatch.setattr(run_study, "fixed", lambda pilots: replace(BRIEF, epochs=3))
    with pytest.raises(SystemExit, match="nets of another recipe"):
        run_study.train(1)
    assert run_study.read(run_study.ROWS) == rows


def test_the_shortest_recipe_that_reaches_the_gate_is_taken_once_all_pilots_are_there(monkeypatch):
    short, long = (Pilot("6M", 4, 4, replace(BRIEF, epochs=epochs)) for epochs in (15, 30))
    cheap = replace(short, ceiling="3M", recipe=BRIEF)
    monkeypatch.setattr(pays_regime, "PILOTS", {"long": long, "short": short, "cheap": cheap})

    def rows(**top1):
        return [{"pilot": name, "search": {"top1": value}} for name, value in top1.items()]

    assert pays_regime.fixed(rows(long=0.92, short=0.91)) is None
    assert pays_regime.fixed(rows(long=0.92, short=0.91, cheap=0.92)) == short.recipe
    assert pays_regime.fixed(rows(long=0.905, short=0.9049, cheap=0.92)) == long.recipe
    assert pays_regime.fixed(rows(long=0.9049, short=0.9, cheap=0.92)) is None  # the gate is one of 6M


def test_the_end_waits_for_all_nets_and_refuses_changed_predictions(study, folder):
    run_study.train(0.0)
    assert not run_study.read(run_study.ROWS)
    idx(folder / LABELS_OF_TEST, 8, np.zeros(10, np.uint8))
    missing = run_study.missing([], [])
    assert len(missing) == 3
    with pytest.raises(SystemExit, match="3 nets or searches are missing"):
        pays_finish.finish([], missing, run_study.SEALED, run_study.TEST)
    run_study.train(1)
    rows = run_study.read(run_study.ROWS)
    np.savez_compressed(run_study.SEALED / f"{rows[0]['sealed']}.npz", test=np.zeros(10, np.uint8) + 7)
    with pytest.raises(SystemExit, match="the predictions were changed"):
        pays_finish.finish(rows, [], run_study.SEALED, run_study.TEST)
    assert not run_study.TEST.exists()


def test_only_the_end_names_the_labels_of_the_test_part():
    """And no other way to them is imported: the library's ``load_data`` decodes the test part."""
    for path in sorted(STUDY.glob("*.py")):
        tree = ast.parse(path.read_text())
        called = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        reads = {call for call in called if call.startswith("read('t10k'")}
        expected = {
            "pays_finish.py": {"read('t10k', 'labels-idx1')"},
            "pays_images.py": {"read('t10k', 'images-idx3')"},
        }
        assert reads == expected.get(path.name, set()), path
        strings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        assert ("t10k" in strings) == (path.name in expected), path
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
        assert not names & {"load_data", "fashion_mnist", "find_sources"}, path


def test_a_supernet_is_trained_searched_and_its_choice_is_a_net_of_ours(study, monkeypatch):
    monkeypatch.setattr(pays_search, "KEPT", study / "kept")
    monkeypatch.setattr(pays_search, "CEILINGS", {"1M": 1_000_000})
    random = [net for net in pays_nets.load() if net.arm == "random"][:2]
    monkeypatch.setattr(run_study, "drawn", lambda: tuple(random))
    brief = pays_search.Recipe(epochs=2, batch_size=20, lr=1e-3, warmup_epochs=0)
    data = pays_search.library_data()
    images = pays_images.training()
    torch.testing.assert_close(next(data.search.batches(10))[0], images.search)
    assert len(data.test) == 0
    assert not set(data.train.indices) & set(data.search.indices)
    pays_search.study(1, brief)
    rows = run_study.read(run_study.SEARCHES)
    assert [row["kind"] for row in rows] == ["supernet", "scores", "search"]
    assert len(rows[0]["losses"]) == 2
    assert set(rows[1]["scores"]) == {net.subnet.digest for net in random}
    (ours,) = run_study.ours("1M", rows)
    assert SPACE.contains(ours.subnet)
    assert ours.subnet.macs == rows[2]["macs"] <= 1_000_000
    assert [job.seed for job in run_study.jobs([], rows) if job.net == ours] == [0, 1]
    monkeypatch.setattr(run_study, "SUPERNET_SEEDS", (0, 1))
    searches = [one for one in run_study.missing([], rows) if one.startswith("search")]
    assert searches == ["search 1M, supernet 0", "search by latency, supernet 0", "search by latency, supernet 1"]
    pays_search.study(1, brief)  # nothing is done twice
    assert run_study.read(run_study.SEARCHES) == rows
    found = {(ours.subnet.digest, 0): 0.9, (ours.subnet.digest, 1): 0.8}
    assert pays_report.ours(rows, found) == {("1M", 1): [0.9, 0.8]}
    assert pays_report.ours(rows, {(ours.subnet.digest, 0): 0.9}) == {}  # both seeds or nothing


@pytest.mark.full
def test_a_supernet_is_searched_by_latency_and_its_choice_compared(study, monkeypatch):
    """The meter alone is not real: a device that does what the predictor says."""
    monkeypatch.setattr(pays_search, "KEPT", study / "kept")
    random, by_hand = run_study.drawn()[1], next(net for net in pays_nets.load() if net.ceiling == "3M")
    monkeypatch.setattr(run_study, "best", lambda arm, ceiling, rows: by_hand)
    assert [one for one in run_study.missing([], []) if "latency" in one] == []
    monkeypatch.setattr(run_study, "SUPERNET_SEEDS", (1,))
    assert "search by latency, supernet 1" in run_study.missing([], [])
    with pytest.raises(SystemExit, match="the search of supernet 1 come first"):
        pays_latency.study(1)
    by_macs = {"kind": "search", "ceiling": "3M", "seed": 1, "cpu_s": 1.0, "digest": random.subnet.digest}
    append_line(run_study.SEARCHES, by_macs | {"subnet": random.subnet.to_dict()})
    (study / "kept").mkdir()
    save_supernet(vh.build_supernet(SPACE, seed=0), study / "kept/supernet-1.safetensors")
    monkeypatch.setattr(pays_latency, "PROFILED", replace(pays_latency.PROFILED, num_subnets=20, rounds=1))
    calls = []

    def meter(subnets):
        calls.append(len(subnets))
        return [float(ms) for ms in predictor().predict(subnets).latency_ms]

    def predictor():
        return pays_latency.load_run_predictor(pays_latency.prepared())[0]

    monkeypatch.setattr(pays_latency, "finalist_meter", lambda *_: meter)
    pays_latency.study(1)
    (_, row) = run_study.read(run_study.SEARCHES)
    predicted = {
        net.digest: predictor().predict([net]).latency_ms[0]
        for net in (by_hand.subnet, vh.Subnet.from_dict(row["subnet"]))
    }
    assert row["ceiling_ms"] == pytest.approx(predicted[by_hand.subnet.digest])
    assert {name: len(p50s) for name, p50s in row["p50_ms"].items()} == dict.fromkeys(row["digests"], 5)
    assert calls[-5:] == [3] * 5
    count = len(calls)
    pays_latency.study(1)  # nothing is done twice
    assert len(calls) == count
    (net,) = run_study.by_latency(run_study.read(run_study.SEARCHES))
    assert SPACE.contains(net.subnet)


def test_a_choice_by_latency_is_trained_and_compared(study):
    by_hand, random = run_study.drawn()
    row = {"kind": "latency", "seed": 1, "cpu_s": 1.0, "ceiling_ms": 2.0, "target": "here", "macs": random.subnet.macs}
    row |= {"digest": random.subnet.digest, "subnet": random.subnet.to_dict()}
    row["digests"] = {"by hand": by_hand.subnet.digest, "by MACs": "0" * 16, "by latency": random.subnet.digest}
    row["p50_ms"] = {
        "by hand": [2.0, 2.2, 1.9, 2.0, 4.0],
        "by MACs": [1.0] * 5,
        "by latency": [1.0, 1.1, 1.9, 0.8, 1.8],
    }
    (net,) = run_study.by_latency([row])
    jobs = [job for job in run_study.jobs([], [row]) if job.key[0] == net.subnet.digest]
    assert [job.seed for job in jobs] == [0, 1]
    found = {(random.subnet.digest, 0): 0.9, (random.subnet.digest, 1): 0.8, (by_hand.subnet.digest, 0): 0.7}
    (shown,) = pays_latency.compare([row], found)
    assert shown["by hand"]["ours_less_its_top1"] == pytest.approx(0.15)
    assert shown["by hand"]["ours_over_its_ms"] == pytest.approx(0.5)  # of the ratios, not of the medians
    assert shown["by MACs"]["ours_less_its_top1"] is None  # not trained yet
    assert pays_latency.compare([row], {}) == []


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_training_that_was_stopped_ends_in_the_same_weights(folder, tmp_path, monkeypatch, after):
    images = pays_images.training()
    whole, at = pays_train.train(TINY, 3, BRIEF, images, tmp_path / "a.pt")
    stops = StopsAfter(after)
    monkeypatch.setattr(pays_train.Deadline, "over", lambda _: stops.now())
    assert pays_train.train(TINY, 3, BRIEF, images, tmp_path / "b.pt") is None
    stops.left = 1000
    again, then = pays_train.train(TINY, 3, BRIEF, images, tmp_path / "b.pt")
    assert (then.losses, then.sittings) == (at.losses, 2)
    for one, other in zip(whole.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    (tmp_path / "c.pt").write_bytes((tmp_path / "b.pt").read_bytes())
    with pytest.raises(SystemExit, match="other settings"):
        pays_train.train(TINY, 4, BRIEF, images, tmp_path / "c.pt")


def test_every_image_of_an_epoch_once_and_flips_and_shifts_move_pixels_only(folder):
    images = pays_images.training()
    images = replace(images, train_labels=torch.arange(50))  # labels that name the image
    plain = replace(BRIEF, flip=False, shift=0, batch_size=25)
    drawn = list(pays_train.batches(images, 0, 0, 0, plain))
    order = torch.cat([labels for _, labels in drawn])
    assert sorted(order.tolist()) == list(range(50))
    assert torch.equal(torch.cat([batch for batch, _ in drawn]), images.train[order])
    other = torch.cat([labels for _, labels in pays_train.batches(images, 0, 1, 0, plain)])
    assert not torch.equal(order, other)
    flipped = torch.cat([batch for batch, _ in pays_train.batches(images, 0, 0, 0, replace(plain, flip=True))])
    straight, mirrored = (
        (flipped == wanted).flatten(1).all(1) for wanted in (images.train[order], images.train[order].flip(3))
    )
    assert (straight | mirrored).all()
    assert 10 < mirrored.sum() < 40
    moved = torch.cat([batch for batch, _ in pays_train.batches(images, 0, 0, 0, replace(plain, shift=1))])
    inside = images.train[order][:, :, 1:-1, 1:-1]
    found = torch.stack(
        [
            (moved[:, :, 1 - dy : 27 - dy, 1 - dx : 27 - dx] == inside).flatten(1).all(1)
            for dy in (-1, 0, 1)
            for dx in (-1, 0, 1)
        ]
    )
    assert found.any(0).all()
    assert (found.sum(1) > 0).all()  # all nine shifts occur


def test_a_rectangle_of_a_share_of_the_images_is_erased(folder):
    images = pays_images.training()
    plain = replace(BRIEF, flip=False, shift=0, batch_size=50)
    ((whole, _),) = pays_train.batches(images, 0, 0, 0, plain)
    ((erased, _),) = pays_train.batches(images, 0, 0, 0, replace(plain, erase=0.5))
    gone = (erased != whole)[:, 0]
    assert (erased[:, 0][gone] == 0).all()
    assert 10 < int(gone.flatten(1).any(1).sum()) < 40
    for one in gone[gone.flatten(1).any(1)]:
        rows, columns = one.any(1), one.any(0)
        assert one.sum() == rows.sum() * columns.sum()  # a rectangle
        assert one.sum() <= 0.4 * one.numel()


def test_the_rate_rises_for_an_epoch_and_falls_to_nothing():
    how = Recipe(epochs=5, batch_size=20, lr=1.0)
    assert pays_train.schedule(0.5, how) == 0.5
    assert pays_train.schedule(1.0, how) == 1.0
    assert pays_train.schedule(3.0, how) == pytest.approx(0.5)
    assert pays_train.schedule(5.0, how) == pytest.approx(0.0)


def test_the_search_part_is_the_one_of_the_library():
    if not (pays_images.FOLDER / "train-labels-idx1-ubyte.gz").exists():
        pytest.skip("needs Debian's package dataset-fashion-mnist")
    whole = vh.load_data("fashion-mnist", SPACE)
    labels = pays_images.read("train", "labels-idx1").astype(np.int64)
    held_out = pays_images.stratified(labels, pays_images.SEARCH_IMAGES, pays_images.SEARCH_SEED)
    assert tuple(held_out.tolist()) == whole.search.indices
    assert pays_images.digest(held_out) == pays_images.SEARCH_DIGEST
    assert len(whole.train) == len(labels) - pays_images.SEARCH_IMAGES
