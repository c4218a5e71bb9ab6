"""The comparison of ``shrink`` with its peers: every arm on a few images, the sealed test part, the report."""

import ast
import gzip
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))
sys.path.append(str(Path(__file__).parent.parent / "benchmarks/pays"))
sys.path.append(str(Path(__file__).parent.parent / "benchmarks/shrink"))
import pays_images
import run_shrink
import shrink_jobs
import shrink_meter
import shrink_original
import shrink_ours
import shrink_peers
import shrink_report
import shrink_road
import shrink_setup
import shrink_shapes
import shrink_training
from shrink_jobs import FASTNAS, LONG, OURS, PRUNED, SCRATCH, Job
from shrink_setup import ORIGINAL, SETTINGS
from shrink_training import Folder, read
from stops_after import StopsAfter

import vitas_hw as vh
from vitas_hw.core.target import Target
from vitas_hw.profiling.profile import Measurement, Profile, save_profile
from vitas_hw.supernet.original import Original

STUDY = Path(run_shrink.__file__).parent
LABELS_OF_TEST = "t10k-labels-idx1-ubyte.gz"
TRAINED = 50


def needs(package):
    lacking = shrink_peers.lacks(package)
    return pytest.mark.skipif(bool(lacking), reason=f"{lacking}; benchmarks/shrink/README.md says how to get it")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Sixty images of two classes to learn, ten to test; no labels of the test part anywhere."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    labels = np.arange(TRAINED + 10, dtype=np.uint8) % 2
    pixels = rng.integers(0, 100, (len(labels), 28, 28)).astype(np.uint8) + (labels * 150)[:, None, None]
    idx(folder / "train-images-idx3-ubyte.gz", pixels.astype(np.uint8))
    idx(folder / "train-labels-idx1-ubyte.gz", labels)
    idx(folder / "t10k-images-idx3-ubyte.gz", pixels[:10].astype(np.uint8))
    return folder


def idx(path, values):
    numbers = (0x800 + values.ndim, *values.shape)
    with gzip.open(path, "wb") as file:
        file.write(b"".join(number.to_bytes(4, "big") for number in numbers) + values.tobytes())


@pytest.fixture
def study(data, tmp_path, monkeypatch):
    """An empty study on those images, on a device on which a net takes a nanosecond for each of its MACs."""
    labels = np.arange(TRAINED + 10) % 2
    held_out = pays_images.stratified(labels.astype(np.int64), 10, pays_images.SEARCH_SEED)
    monkeypatch.setattr(pays_images, "FOLDER", data)
    monkeypatch.setattr(pays_images, "SEARCH_IMAGES", 10)
    monkeypatch.setattr(pays_images, "SEARCH_DIGEST", pays_images.digest(held_out))
    monkeypatch.setattr(shrink_meter, "milliseconds", lambda subnets, rounds=5: [one.macs / 1e6 for one in subnets])
    shrink_training.images.cache_clear()
    yield Folder(tmp_path / "study", tmp_path / "kept")
    shrink_training.images.cache_clear()


@pytest.fixture
def begun(study):
    """With an original of random weights and a profile of that device."""
    study.path.mkdir(parents=True)
    model = vh.build_model(ORIGINAL, seed=0)
    with torch.no_grad():  # a fresh classifier is zero: nothing would matter
        model.head.weight.normal_(std=0.1, generator=torch.Generator().manual_seed(0))
    shrink_original.save_model(model.half(), ORIGINAL, study.original)
    space = shrink_ours.space_of(shrink_original.load(study))
    rng = np.random.default_rng(0)
    subnets = dict.fromkeys([space.largest, *(space.decode(code) for code in space.sample_codes(40, rng))])
    rows = tuple(Measurement(subnet, ((subnet.macs / 1e6,),)) for subnet in subnets)
    target = Target("here", "onnxruntime", "fp32", 1, 1, (28, 28))
    save_profile(Profile(target, space, {"fingerprint": "f"}, None, 1.0, rows), study.profile)
    return study


def shapes(folder, **found):
    folder.shapes.write_text(json.dumps(found))


def a_shape(subnet, amount=0):
    return {"subnet": subnet.to_dict(), "digest": subnet.digest, "amount": amount, "share": 0.3, "cpu_s": 1.0}


# the original


def test_the_original_is_trained_kept_in_half_precision_and_sealed(study):
    assert shrink_original.train_original(study, epochs=2)
    (row,) = read(study.rows)
    assert row["arm"] == "original"
    assert row["bytes"] == study.original.stat().st_size < 1_000_000
    assert len(row["losses"]) == 2
    assert row["losses"][1] < row["losses"][0]
    assert row["images"] == TRAINED
    assert row["cpu_s"] > 0
    found = np.load(study.sealed / "original.npz")
    assert list(found) == ["test"]
    assert found["test"].shape == (10,)
    assert not list(study.kept.glob("*"))  # nothing to go on with
    original = shrink_original.load(study)
    assert original.subnet == ORIGINAL
    assert {weight.dtype for weight in original.weights.values()} == {torch.float32}


def test_a_stopped_training_of_the_original_goes_on_to_the_same_weights(study, tmp_path, monkeypatch):
    shrink_original.train_original(study, epochs=3)
    other = Folder(tmp_path / "other", tmp_path / "kept of the other")
    stops = StopsAfter(2)
    monkeypatch.setattr("vitas_hw.training.trainer.Deadline.over", lambda _: stops.now())
    assert not shrink_original.train_original(other, epochs=3)
    assert not other.rows.exists()
    stops.left = 1000
    assert shrink_original.train_original(other, epochs=3)
    assert read(other.rows)[0]["sittings"] == 2
    assert read(other.rows)[0]["losses"] == read(study.rows)[0]["losses"]
    assert other.original.read_bytes() == study.original.read_bytes()


# what an arm may spend


def test_every_arm_has_the_same_passes_within_ten_epochs():
    images = 54_000
    ours = shrink_setup.passes(images, shrink_setup.SUPERNET_EPOCHS) + shrink_setup.passes(
        images, shrink_setup.RETRAIN_EPOCHS
    )
    assert ours == shrink_setup.passes(images, shrink_setup.EPOCHS) == 504_000
    assert ours <= shrink_setup.PASSES * images
    for settings in SETTINGS.values():
        assert {one.recipe.epochs for one in settings} == {shrink_setup.EPOCHS}
    assert [len(SETTINGS[arm]) for arm in (PRUNED, SCRATCH, FASTNAS)] == [3, 3, 1]
    assert shrink_setup.passes(100, 2, nets=4, teacher=False, scored=7) == 807
    assert not shrink_setup.supernet_recipe().sandwich  # one net a step, which is what is counted


def test_the_widest_that_fits_is_found():
    asked = []

    def made(number):
        asked.append(number)
        return number

    assert shrink_meter.widest(1, 100, made, lambda n: n <= 37) == 37
    assert len(asked) <= 9
    assert shrink_meter.widest(5, 10, made, lambda n: True) == 10
    assert shrink_meter.widest(5, 10, made, lambda n: False) is None
    assert shrink_meter.widest(5, 5, made, lambda n: True) == 5


def test_shares_are_of_the_original_measured_in_the_same_run(monkeypatch):
    runs = []

    def slow_hour(subnets, rounds=5):
        runs.append(list(subnets))
        return [7 * one.macs / 1e6 for one in subnets]

    monkeypatch.setattr(shrink_meter, "milliseconds", slow_hour)
    small = shrink_peers.narrow(ORIGINAL, 8, 3)
    assert shrink_meter.shares([small]) == pytest.approx([small.macs / ORIGINAL.macs])
    assert runs == [[ORIGINAL, small]]


def test_it_measures_on_onnx_runtime(monkeypatch):
    small = shrink_peers.narrow(ORIGINAL, 1, 1)
    first, second, again = shrink_meter.milliseconds([ORIGINAL, small, ORIGINAL], rounds=1)
    assert first == again > second > 0
    assert shrink_meter.place().target.slug.endswith("onnxruntime-fp32-b1-t1-i28")


# the nets of the peers


def test_nets_by_hand_fill_the_budget_without_the_peers(begun, monkeypatch, capsys):
    monkeypatch.setattr(shrink_peers, "lacks", lambda package: f"{package} cannot be imported")
    shrink_shapes.make_shapes(begun)
    said = capsys.readouterr().out
    assert "half pruned: torch_pruning cannot be imported. The README of this folder says how to get it." in said
    found = shrink_shapes.read_shapes(begun)
    assert set(found) == {"half", "third"}
    assert all(set(nets) == {"narrow", "short"} for nets in found.values())
    for level, times in shrink_setup.LEVELS.items():
        for name, depth in (("narrow", 6), ("short", 4)):
            one = found[level][name]
            subnet = vh.Subnet.from_dict(one["subnet"])
            assert subnet.depth == depth
            assert len(set(subnet.blocks)) == 1
            assert subnet.blocks[0].num_heads == 4
            assert subnet.embed_dim == subnet.blocks[0].attn_dim
            assert 0.9 / times < one["share"] <= 1 / times
            wider = shrink_peers.narrow(ORIGINAL, one["amount"] + 1, depth)
            assert wider.macs > ORIGINAL.macs / times
    written = begun.shapes.read_text()
    monkeypatch.setattr(shrink_shapes, "_by_hand", lambda *_: pytest.fail("made twice"))
    shrink_shapes.make_shapes(begun)
    assert begun.shapes.read_text() == written


def test_a_refusal_is_kept_as_the_peer_says_it(begun, monkeypatch):
    def refuses_below(flops):
        if flops < 60:
            raise shrink_peers.RefusedError("no such small net")
        return shrink_peers.narrow(ORIGINAL, 16, 6)

    found = shrink_shapes._percent(refuses_below, 0.5)
    assert found == {"refused": "60% is too slow, and of 55% it says: no such small net"}
    found_slow = shrink_shapes._percent(lambda kept: ORIGINAL, 0.5)
    assert found_slow == {"refused": "its smallest net, of 5%, is too slow"}
    by_percent = {kept: replace(ORIGINAL, blocks=(vh.Block(4, 16, 2 * kept),) * 6) for kept in range(1, 101)}
    widest = max(kept for kept, net in by_percent.items() if net.macs <= 0.7 * ORIGINAL.macs)
    assert shrink_shapes._percent(by_percent.get, 0.7)["amount"] == widest
    by_percent |= dict.fromkeys(range(1, 20), ORIGINAL)  # what is left whole as nothing of it would be left
    assert shrink_shapes._percent(by_percent.get, 0.7)["amount"] == widest
    shapes(begun, third={"fastnas": found | {"cpu_s": 3.0}})
    assert shrink_jobs.do(Job(FASTNAS, "third", "as ours is retrained", 0), begun)
    (row,) = read(begun.rows)
    assert row["refused"] == found["refused"]
    assert "sealed" not in row


@needs("torch_pruning")
@pytest.mark.parametrize(("kept", "narrower"), [(30, True), (50, True), (80, False)])
def test_torch_pruning_prunes_embedding_mlps_and_whole_heads(begun, kept, narrower):
    model, subnet = shrink_shapes.pruned(shrink_original.load(begun), kept)
    assert subnet.depth == ORIGINAL.depth
    assert (subnet.embed_dim < ORIGINAL.embed_dim) == narrower  # by the ranking MLPs go first
    assert all(block.head_dim == 16 and block.mlp_dim < 256 for block in subnet.blocks)
    heads = [block.num_heads for block in subnet.blocks]
    assert min(heads) > 0
    assert sum(heads) < 24
    assert len({block.mlp_dim for block in subnet.blocks}) > 1  # ranked globally
    images = next(shrink_training.images().search.batches(10))[0]
    assert model(images).shape == (10, 10)
    again, same = shrink_shapes.pruned(shrink_original.load(begun), kept)
    assert same == subnet
    torch.testing.assert_close(again(images), model(images), rtol=0, atol=0)


@needs("torch_pruning")
def test_torch_pruning_removes_first_what_does_nothing(begun):
    """A head and half of the MLP channels without effect: a tenth less of all is a tenth less of these."""
    weights = dict(shrink_original.load(begun).weights)
    for index in range(6):
        for name in ("qkv", "proj"):
            for part in ("weight", "bias"):
                weights[f"blocks.{index}.attn.{name}.{part}"] = weights[f"blocks.{index}.attn.{name}.{part}"].clone()
        for start in (0, 64, 128):  # q, k, v
            weights[f"blocks.{index}.attn.qkv.weight"][start + 32 : start + 48] = 0
            weights[f"blocks.{index}.attn.qkv.bias"][start + 32 : start + 48] = 0
        weights[f"blocks.{index}.attn.proj.weight"][:, 32:48] = 0
        for name in ("fc1.weight", "fc1.bias"):
            weights[f"blocks.{index}.mlp.{name}"] = weights[f"blocks.{index}.mlp.{name}"].clone()
            weights[f"blocks.{index}.mlp.{name}"][:128] = 0
        weights[f"blocks.{index}.mlp.fc2.weight"] = weights[f"blocks.{index}.mlp.fc2.weight"].clone()
        weights[f"blocks.{index}.mlp.fc2.weight"][:, :128] = 0
    silenced = Original(ORIGINAL, weights)
    model, subnet = shrink_shapes.pruned(silenced, 90)
    assert subnet.embed_dim == 64
    assert sum(block.num_heads for block in subnet.blocks) < 24
    assert sum(block.mlp_dim for block in subnet.blocks) <= 6 * 256 - 0.09 * (6 * 256 + 64)
    images = next(shrink_training.images().search.batches(10))[0]
    torch.testing.assert_close(model(images), shrink_peers.whole(silenced)(images), rtol=1e-4, atol=1e-5)


@needs("modelopt.torch.prune")
@pytest.mark.filterwarnings("ignore")  # of its imports
def test_fastnas_takes_the_vit_narrows_its_mlps_alone_and_says_what_is_too_small(begun):
    original = shrink_original.load(begun)
    model, subnet = shrink_shapes.of_fastnas(original, 60, begun)
    assert subnet.embed_dim == 64
    assert {block.attn_dim for block in subnet.blocks} == {64}
    assert sum(block.mlp_dim for block in subnet.blocks) < 6 * 256
    assert subnet.macs < ORIGINAL.macs
    assert model(torch.zeros(1, 1, 28, 28)).shape == (1, 10)
    with pytest.raises(shrink_peers.RefusedError, match="ValueError"):
        shrink_shapes.of_fastnas(original, 20, begun)


# the trainings


def brief(monkeypatch):
    """All recipes over two epochs, ours one and one."""
    for arm, settings in SETTINGS.items():
        monkeypatch.setitem(SETTINGS, arm, tuple(shrink_setup.lasting(one, 2) for one in settings))
    monkeypatch.setattr(shrink_ours, "supernet_recipe", lambda: shrink_setup.supernet_recipe(1))
    monkeypatch.setattr(shrink_ours, "RETRAIN_EPOCHS", 1)
    monkeypatch.setattr(shrink_jobs, "LONG_EPOCHS", 3)


@pytest.mark.parametrize("arm", [SCRATCH, LONG])
def test_a_net_from_scratch_is_trained_with_the_teacher(begun, monkeypatch, arm):
    brief(monkeypatch)
    small = shrink_peers.narrow(ORIGINAL, 4, 2)
    shapes(begun, third={"narrow": a_shape(small)})
    taught, really = [], shrink_jobs.fit

    def fit(*given, teacher):
        taught.append(teacher)
        return really(*given, teacher=teacher)

    monkeypatch.setattr(shrink_jobs, "fit", fit)
    assert shrink_jobs.do(Job(arm, "third", "narrow", 1), begun)
    (row,) = read(begun.rows)
    assert (row["arm"], row["seed"], row["digest"]) == (arm, 1, small.digest)
    epochs = 3 if arm == LONG else 2
    assert row["passes"] == round(TRAINED * epochs * 4 / 3)
    assert len(row["losses"]) == epochs
    assert (begun.sealed / f"{row['sealed']}.npz").exists()
    assert not list(begun.kept.glob("*.pt"))
    images = next(shrink_training.images().search.batches(10))[0]
    original = shrink_peers.whole(shrink_original.load(begun))
    torch.testing.assert_close(taught[0](images), original(images))


@needs("torch_pruning")
def test_a_pruned_net_is_trained_on(begun, monkeypatch):
    brief(monkeypatch)
    shapes(begun, third={"pruned": a_shape(ORIGINAL, 50)})
    assert shrink_jobs.do(Job(PRUNED, "third", "unchanged images", 0), begun)
    (row,) = read(begun.rows)
    assert row["digest"] == shrink_shapes.pruned(shrink_original.load(begun), 50)[1].digest
    assert row["passes"] == round(TRAINED * 2 * 4 / 3) + 128
    assert set(row["before"]) == {"top1", "loss"}


@needs("modelopt.torch.prune")
@pytest.mark.filterwarnings("ignore")
def test_a_net_of_fastnas_is_trained_on(begun, monkeypatch):
    brief(monkeypatch)
    shapes(begun, half={"fastnas": a_shape(ORIGINAL, 60)})
    assert shrink_jobs.do(Job(FASTNAS, "half", "as ours is retrained", 0), begun)
    (row,) = read(begun.rows)
    assert row["macs"] < ORIGINAL.macs
    assert len(row["losses"]) == 2


def test_ours_goes_from_supernet_to_search_to_choice(begun, monkeypatch, capsys):
    brief(monkeypatch)
    job = shrink_jobs.of_ours(OURS, "half", 0)
    monkeypatch.setattr(shrink_jobs, "jobs", lambda rows: [job])
    run_shrink.train(begun, 1)  # the supernet; then it waits
    assert "waits for a search: ours-half-0" in capsys.readouterr().out
    assert [row["kind"] for row in read(begun.parts)] == ["supernet"]
    assert shrink_jobs.next_training([], begun) is None
    run_shrink.search(begun, 1)
    supernet, found = read(begun.parts)
    assert found["kind"] == "search"
    assert vh.Subnet.from_dict(found["subnet"]).macs <= ORIGINAL.macs / 2
    assert found["share"] == pytest.approx(vh.Subnet.from_dict(found["subnet"]).macs / ORIGINAL.macs, abs=1e-4)
    assert shrink_jobs.searches([], begun) == []
    run_shrink.train(begun, 1)
    (row,) = read(begun.rows)
    assert row["digest"] == found["digest"]
    of_blocks = 128 * 6 / 3
    assert row["passes"] == round(TRAINED * 4 / 3 + 128 + of_blocks) + round(TRAINED * 4 / 3)
    parts = [row[f"{part}_cpu_s"] for part in ("supernet", "search", "retrain")]
    assert row["cpu_s"] == pytest.approx(sum(parts), abs=0.2)
    assert row["search"]["top1"] >= row["inherited"]["top1"]
    assert row["largest_top1"] == supernet["largest_top1"]
    run_shrink.train(begun, 1)
    assert read(begun.rows) == [row]
    (begun.kept / "ours-half-0.safetensors").unlink()  # another machine: what is known of those weights is of no use
    assert job.road(begun).told("search") is None


@pytest.mark.parametrize("arm", shrink_jobs.ABLATIONS)
def test_one_factor_is_changed_at_a_time(begun, arm):
    ours, other = shrink_ours.VARIANTS[OURS], shrink_ours.VARIANTS[arm]
    assert sum(getattr(ours, name) != getattr(other, name) for name in ("importance", "by_order", "teacher")) == 1
    road = shrink_jobs.of_ours(arm, "third", 0).road(begun)
    variant, original, space, predictor, _, _ = shrink_ours.setup(road)
    assert predictor.space == space
    assert bool(space.block_order) == variant.by_order
    order = shrink_ours.scores(original, space, variant.importance).order
    usual = shrink_ours.scores(original, space, "taylor").order
    same = all(torch.equal(order[group], usual[group]) for group in usual)
    assert same == (variant.importance == "taylor")
    unchanged = all(torch.equal(each, torch.arange(len(each))) for each in order.values())
    assert unchanged == (variant.importance == "none")


def test_an_untaught_supernet_counts_no_teacher(begun, monkeypatch):
    brief(monkeypatch)
    road = shrink_jobs.of_ours("ours, no teacher", "third", 0).road(begun)
    assert shrink_ours.train_supernet(road)
    assert read(begun.parts)[0]["passes"] == TRAINED + 128 + 128 * 2


# what comes next


def row(arm, level, setting, seed, top1=0.5, **more):
    name = Job(arm, level, setting, seed).name
    fields = {"arm": arm, "level": level, "setting": setting, "seed": seed, "search": {"top1": top1}}
    subnet = shrink_peers.narrow(ORIGINAL, 8, 6)
    shape = {"subnet": subnet.to_dict(), "digest": subnet.digest, "macs": subnet.macs, "params": subnet.params}
    return fields | shape | {"cpu_s": 60.0, "images": 54_000, "passes": 504_000, "sealed": name} | more


def whole_study(ours=0.91):
    """Rows of all jobs; pruned nets are best with twice the rate, nets from scratch with the short one."""
    tops = {PRUNED: {"twice the rate": 0.9}, SCRATCH: {"short": 0.89}}
    rows = [row("original", "whole", "from scratch", 0, 0.92, digest=ORIGINAL.digest, macs=ORIGINAL.macs)]
    while True:
        known = shrink_jobs.keys(rows)
        todo = [job for job in shrink_jobs.jobs(rows) if job.key not in known]
        if not todo:
            return rows
        for job in todo:
            top1 = ours if job.arm == OURS else tops.get(job.arm, {}).get(job.setting, 0.8)
            if (job.arm, job.level) == (FASTNAS, "third"):
                rows.append(shrink_jobs.about(job) | {"refused": "too small", "cpu_s": 1.0})
            else:
                rows.append(row(*job.key, top1))


def test_the_jobs_are_those_of_the_issue():
    rows = whole_study()
    found = [job.key for job in shrink_jobs.jobs(rows)]
    assert len(found) == len(set(found))
    count = {arm: sum(key[0] == arm for key in found) for arm in (OURS, PRUNED, SCRATCH, FASTNAS, LONG)}
    # three seeds at two levels; of a peer's three settings the other two at one third with one seed
    assert count == {OURS: 6, PRUNED: 6 + 2, SCRATCH: 6 + 2, FASTNAS: 2, LONG: 1}
    assert sum(key[0] in shrink_jobs.ABLATIONS for key in found) == 4
    assert shrink_jobs.chosen(PRUNED, rows) == "twice the rate"
    assert (LONG, "third", "short", 0) in found
    assert found[0] == (OURS, "third", "the library's", 0)
    assert {key[2] for key in found if key[0] == SCRATCH and key[1] == "half"} == {"short"}
    # before the settings are tried nothing is done that depends on them
    assert not [job for job in shrink_jobs.jobs([]) if job.arm == PRUNED and (job.level, job.seed) != ("third", 0)]


def test_a_peer_that_is_not_installed_is_waited_for_and_missing(begun, monkeypatch):
    monkeypatch.setattr(shrink_peers, "lacks", lambda package: f"no {package}")
    rows = [one for one in whole_study() if one["arm"] != PRUNED]
    assert shrink_jobs.next_training(rows, begun) is None
    assert any(one.startswith(PRUNED) for one in shrink_jobs.missing(rows, begun))


# the report


def written(folder, rows):
    folder.path.mkdir(exist_ok=True)
    folder.rows.write_text("".join(json.dumps(one) + "\n" for one in rows))


def measured(folder, rows):
    nets = {one["digest"]: one["macs"] / 1e6 for one in rows if "digest" in one}
    folder.latencies.write_text(json.dumps({"ms": nets}))
    steps = [{"step": "train", "seconds": 61.0}]
    folder.road.write_text(json.dumps({"seconds": 70.0, "goal_seconds": 2400, "steps": steps}))


def test_the_report_shows_what_is_there_and_decides_nothing_before_the_end(begun, capsys):
    shrink_report.report(begun)  # of nothing
    rows = whole_study()
    written(begun, rows[:4])
    found = shrink_report.report(begun)
    assert found["goals"] == {"half": None, "third": None}
    assert found["missing"]
    written(begun, rows)
    measured(begun, rows)
    found = shrink_report.report(begun)
    assert found["missing"] == []
    assert found["goals"] == {"half": None, "third": None}
    assert found["levels"]["third"][OURS]["top1"] == 0.91
    assert found["levels"]["third"][OURS]["epochs_worth"] == pytest.approx(9.33)
    small = rows[1]["macs"] / ORIGINAL.macs
    assert found["levels"]["half"][PRUNED]["share"] == pytest.approx(small, abs=1e-4)
    said = capsys.readouterr().out
    assert "refused: too small" in said
    assert "torch-pruning (twice the rate)" in said
    assert "not decided before the test part is read" in said
    assert "train            61 s" in said


@pytest.mark.parametrize(("ours", "reached"), [(0.9051, True), (0.9049, False), (0.8, False)])
def test_the_goals_are_those_of_the_issue(begun, ours, reached):
    rows = whole_study(ours)
    written(begun, rows)
    measured(begun, rows)
    top1 = {one["sealed"]: one["search"]["top1"] for one in rows if "sealed" in one}
    begun.test.write_text(json.dumps({"images": 10, "top1": top1}))
    found = shrink_report.analyse(begun)
    goals = found["goals"]["third"]
    assert found["part"] == "test part"
    assert goals["best peer"] == PRUNED
    assert goals["over it"] == pytest.approx(ours - 0.9)
    assert goals["reached"] == reached
    assert goals["not below scratch"] == (ours > 0.89)
    assert found["goals"]["half"]["reached"] == (ours >= 0.902)


# the end


def test_the_end_waits_for_all_and_scores_what_was_sealed(begun, data, monkeypatch):
    brief(monkeypatch)
    small = shrink_peers.narrow(ORIGINAL, 4, 2)
    shapes(begun, third={"narrow": a_shape(small)})
    shrink_jobs.do(Job(SCRATCH, "third", "narrow", 0), begun)
    with pytest.raises(SystemExit, match="Not yet"):
        run_shrink.finish(begun)
    monkeypatch.setattr(shrink_jobs, "missing", lambda rows, folder: [])
    with pytest.raises(FileNotFoundError, match=LABELS_OF_TEST):
        run_shrink.finish(begun)
    try:
        idx(data / LABELS_OF_TEST, np.arange(10, dtype=np.uint8) % 2)
        run_shrink.finish(begun)
    finally:
        (data / LABELS_OF_TEST).unlink(missing_ok=True)
    name = read(begun.rows)[0]["sealed"]
    right = np.load(begun.sealed / f"{name}.npz")["test"] == np.arange(10) % 2
    assert json.loads(begun.test.read_text())["top1"] == {name: right.mean()}


def test_no_file_of_the_study_reads_the_labels_of_the_test_part():
    for path in sorted(STUDY.glob("*.py")):
        tree = ast.parse(path.read_text())
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
        assert not names & {"load_data", "fashion_mnist", "find_sources"}, path
        strings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        assert (LABELS_OF_TEST in strings) == (path.name == "shrink_road.py"), path  # which writes some of its own
        called = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        reads = {call for call in called if call.startswith(("pays_images.read", "gzip.open"))}
        assert all("'wb'" in call for call in reads), path


def test_all_nets_are_timed_in_one_run(begun, monkeypatch):
    rows = whole_study()[:3]
    written(begun, rows)
    runs = []
    monkeypatch.setattr(shrink_meter, "milliseconds", lambda nets, rounds: runs.append(nets) or [1.0] * len(nets))
    run_shrink.latencies(begun)
    assert runs == [[ORIGINAL, vh.Subnet.from_dict(rows[1]["subnet"])]]
    assert set(json.loads(begun.latencies.read_text())["ms"]) == {one["digest"] for one in rows}
    assert not [one for one in shrink_jobs.missing(rows, begun) if one.startswith("latencies")]
    other = row(SCRATCH, "third", "short", 0, digest="another")
    assert "latencies of 1 nets" in shrink_jobs.missing([*rows, other], begun)


# the whole command


def test_the_command_gets_labels_that_say_nothing(study, tmp_path, data):
    shrink_road.blind_copy(tmp_path / "blind")
    found = vh.load_data(f"fashion-mnist:{tmp_path / 'blind'}", ORIGINAL)
    assert len(found.test) == 10
    assert set(found.test.labels.tolist()) == {0}
    assert len(found.train) + len(found.search) == TRAINED + 10


@pytest.mark.full
def test_the_whole_command_leaves_a_table_of_its_steps(begun):
    shrink_road.walk(begun, "--num-subnets", "20", "--epochs", "2", "--retrain-epochs", "2")
    found = json.loads(begun.road.read_text())
    names = [step["step"] for step in found["steps"]]
    assert names == ["original", "profile", "train", "search", "retrain", "export", "shrink"]
    seconds = [step["seconds"] for step in found["steps"]]
    assert min(seconds) >= 0
    assert sum(seconds) <= found["seconds"] + 1
    assert shrink_report.report(begun)["road"] == found


def test_a_step_lasts_from_the_end_of_the_one_before_it():
    manifest = {
        "steps": [
            {"step": "original", "finished": "2026-01-01T00:00:05Z"},
            {"step": "profile", "finished": "2026-01-01T00:02:00Z"},
        ]
    }
    found = shrink_road.steps_of(manifest, datetime(2026, 1, 1, tzinfo=UTC))
    assert found == [{"step": "original", "seconds": 5.0}, {"step": "profile", "seconds": 115.0}]
