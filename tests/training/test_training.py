from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from vitas_hw.core.deadline import Deadline
from vitas_hw.core.depths import identity_depths
from vitas_hw.core.errors import FileError, InputError, VitasError
from vitas_hw.core.presets import preset
from vitas_hw.core.space import SearchSpace
from vitas_hw.data.augmentation import Augmentation
from vitas_hw.data.load import ImageData, load_data
from vitas_hw.data.splits import Pass
from vitas_hw.supernet.plain import build_model
from vitas_hw.supernet.supernet import Supernet, build_supernet
from vitas_hw.training.checkpoint import State, load_state, save_state
from vitas_hw.training.checkpoint_header import OtherSettingsError, refuse_other_settings
from vitas_hw.training.distributed import Ranks, pick_device
from vitas_hw.training.evaluate import accuracy, subnet_accuracy
from vitas_hw.training.objective import ModelObjective, SupernetObjective
from vitas_hw.training.recipe import VITAS_SUPERNET, Recipe, Runtime, finetune_recipe, of_length, supernet_recipe
from vitas_hw.training.trainer import Training

QUICK = Recipe(epochs=3, batch_size=64, lr=2e-3, warmup_epochs=1, clip_grad=1.0)


@pytest.fixture(scope="module")
def data() -> ImageData:
    return load_data("digits", preset("vitas-digits"))


def fit_supernet(
    supernet: Supernet, data: ImageData, recipe: Recipe, *, p: float = 0.5, seed: int = 0, **more: Any
) -> list[float] | None:
    teacher = more.pop("teacher", None)
    depths = identity_depths(supernet.space, p)
    objective = SupernetObjective(supernet, recipe, depths=depths, teacher=teacher)
    state = more.pop("state", None)
    return Training(objective, data.train, recipe, seed=seed, num_classes=10, **more).run(state)


def few(data: ImageData, count: int) -> ImageData:
    return replace(data, train=data.train.subset(range(count)))  # type: ignore[attr-defined]


def same(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("sharing", ["ordinal", "bilateral", "cyclic"])
def test_training_a_supernet_learns_and_repeats(small: SearchSpace, data: ImageData, sharing: str) -> None:
    def once() -> tuple[list[float], float]:
        supernet = build_supernet(small, sharing, seed=0)
        history = fit_supernet(supernet, data, replace(QUICK, epochs=10, batch_size=32), p=0.3, seed=1)
        assert history is not None
        assert not supernet.training
        return history, subnet_accuracy(supernet, small.largest, data.search).top1

    losses, top1 = once()
    assert losses[-1] < losses[0]
    assert top1 > 0.2  # chance is 0.1
    if sharing == "cyclic":
        assert (losses, top1) == once()


def test_a_step_changes_only_the_weights_the_subnet_uses(small: SearchSpace, data: ImageData) -> None:
    supernet = build_supernet(small, seed=0)
    before = {name: weight.clone() for name, weight in supernet.state_dict().items()}
    fit_supernet(supernet, few(data, 8), replace(QUICK, epochs=1, warmup_epochs=0), p=1.0)
    changed = {name for name, weight in supernet.state_dict().items() if not torch.equal(weight, before[name])}
    assert any(name.startswith("blocks.0.") for name in changed)
    assert not any(name.startswith(("blocks.1.", "blocks.2.", "blocks.3.")) for name in changed)


def test_bilateral_trains_on_the_sum_of_both_sides_and_is_scored_by_it(small: SearchSpace, data: ImageData) -> None:
    supernet = build_supernet(small, "bilateral", seed=0).eval()
    fit_supernet(supernet, few(data, 256), QUICK)
    subnet = small.smallest
    part = data.search.subset(range(64))
    images, labels = next(part.batches(64))
    plain = SupernetObjective(supernet, replace(QUICK, label_smoothing=0.0))
    trained = float(plain(images, labels, [tuple(small.encode(subnet).tolist())]).detach())
    found = subnet_accuracy(supernet, subnet, part)
    assert found.loss == pytest.approx(trained, rel=1e-5)
    logits = supernet(images, subnet, "left") + supernet(images, subnet, "right")
    assert found.top1 == pytest.approx(float((logits.argmax(1) == labels).float().mean()))
    images, labels = next(data.search.batches(4))
    both = supernet(images, subnet, "left") + supernet(images, subnet, "right")
    objective = SupernetObjective(supernet, QUICK)
    loss = objective(images, labels, [tuple(small.encode(subnet).tolist())])
    expected = nn.functional.cross_entropy(both, labels, label_smoothing=QUICK.label_smoothing)
    torch.testing.assert_close(loss, expected)


def test_training_a_plain_model_learns(small: SearchSpace, data: ImageData) -> None:
    model = build_model(small.sample(1), seed=0)
    before = accuracy(model.eval(), data.search).top1
    recipe = replace(QUICK, epochs=8)
    Training(ModelObjective(model, recipe), data.train, recipe, seed=0, num_classes=10).run()
    assert accuracy(model, data.search).top1 > max(before, 0.3)


def test_every_step_draws_another_subnet_and_every_process_the_same(small: SearchSpace) -> None:
    one, other = (SupernetObjective(build_supernet(small), QUICK) for _ in range(2))
    drawn = [one.codes(3, step) for step in range(50)]
    assert drawn == [other.codes(3, step) for step in range(50)]
    assert len(set(drawn)) > 40
    assert drawn != [one.codes(4, step) for step in range(50)]


def test_the_sandwich_trains_largest_random_and_smallest_on_the_largests_logits(
    small: SearchSpace, data: ImageData
) -> None:
    supernet = build_supernet(small, seed=0)
    objective = SupernetObjective(supernet, replace(QUICK, sandwich=True))
    codes = objective.codes(0, 0)
    subnets = [small.decode(code) for code in codes]
    assert (subnets[0], subnets[-1], len(subnets)) == (small.largest, small.smallest, 4)
    images, labels = next(data.search.batches(8))
    logits = [supernet(images, subnet) for subnet in subnets]
    soft = logits[0].detach().softmax(-1)
    parts = [nn.functional.cross_entropy(logits[0], labels, label_smoothing=QUICK.label_smoothing)]
    parts += [nn.functional.cross_entropy(one, soft) for one in logits[1:]]
    torch.testing.assert_close(objective(images, labels, codes), sum(parts) / 4)


def test_a_teacher_shares_the_loss_and_is_not_trained(small: SearchSpace, data: ImageData) -> None:
    teacher = build_model(small.sample(5), seed=3).eval()
    before = [weight.clone() for weight in teacher.parameters()]
    images, labels = next(data.search.batches(8))
    supernet, code = build_supernet(small, seed=0), [tuple(small.encode(small.largest).tolist())]
    losses = [
        SupernetObjective(supernet, replace(QUICK, teacher_weight=w), teacher=teacher)(images, labels, code)
        for w in (0.0, 1.0, 0.25)
    ]
    expected = nn.functional.cross_entropy(supernet(images, small.largest), teacher(images).softmax(-1))
    torch.testing.assert_close(losses[1], expected)
    torch.testing.assert_close(losses[2], 0.75 * losses[0] + 0.25 * losses[1])
    fit_supernet(supernet, few(data, 64), QUICK, teacher=teacher)
    assert all(torch.equal(now, then) for now, then in zip(teacher.parameters(), before, strict=True))


def test_accumulated_batches_are_one_larger_batch(small: SearchSpace, data: ImageData) -> None:
    whole, parts = build_supernet(small, seed=0), build_supernet(small, seed=0)
    recipe = replace(QUICK, epochs=1, warmup_epochs=0, batch_size=32, clip_grad=None)
    part = few(data, 32)
    fit_supernet(whole, part, recipe)
    fit_supernet(parts, part, replace(recipe, accumulate=4))
    for (name, one), other in zip(whole.named_parameters(), parts.parameters(), strict=True):
        if "k_bias" not in name:  # it changes nothing: its gradient is rounding alone, of which Adam makes whole steps
            torch.testing.assert_close(one, other, rtol=1e-3, atol=2e-5)
    assert not same(whole, build_supernet(small, seed=0))


def test_the_moving_average_is_what_training_gives(small: SearchSpace, data: ImageData, tmp_path: Path) -> None:
    recipe, part, path = (
        replace(QUICK, epochs=1, warmup_epochs=0, batch_size=32, ema=0.9),
        few(data, 160),
        tmp_path / "t",
    )
    averages, weights, history = [], [], None
    while history is None:
        supernet, state = build_supernet(small, seed=0), load_state(path, {})
        if state is not None:
            averages.append(state.tensors["ema"])
            weights.append(state.tensors["model"])
        history = fit_supernet(supernet, part, recipe, deadline=Deadline(0), checkpoint=(path, {}), state=state)
    last = load_state(path, {})
    assert last is not None
    averages.append(last.tensors["ema"])
    weights.append(last.tensors["model"])
    assert len(averages) == 5
    for name, expected in averages[-2].items():
        torch.testing.assert_close(averages[-1][name], 0.9 * expected + 0.1 * weights[-1][name])
    assert all(torch.equal(weight, averages[-1][name]) for name, weight in supernet.state_dict().items())
    assert any(not torch.equal(weight, weights[-1][name]) for name, weight in supernet.state_dict().items())


@pytest.mark.parametrize("autocast", ["bf16", "fp16"])
def test_autocast_trains(small: SearchSpace, data: ImageData, autocast: str) -> None:
    supernet = build_supernet(small, seed=0)
    history = fit_supernet(supernet, few(data, 256), replace(QUICK, epochs=4, autocast=autocast))
    assert history is not None
    assert history[-1] < history[0]
    assert {weight.dtype for weight in supernet.parameters()} == {torch.float32}


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # torch's own, which it only hides
@pytest.mark.parametrize("what", ["model", "supernet"])
def test_compiling_changes_nothing_but_rounding(small: SearchSpace, data: ImageData, what: str) -> None:
    narrow = replace(small, embed_dims=(24,), attn_dims=(24,), mlp_dims=(32,), num_heads=(2,))
    recipe, losses = replace(QUICK, epochs=2), []
    for compiled in (False, True):
        objective: Any = ModelObjective(build_model(small.sample(1), seed=0), recipe)
        if what == "supernet":
            objective = SupernetObjective(build_supernet(narrow, seed=0), recipe)
        runtime = Runtime(compile=compiled)
        history = Training(objective, few(data, 128).train, recipe, seed=0, num_classes=10, runtime=runtime).run()
        assert history is not None
        losses.append(history)
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_cutmix_and_augmentation_of_the_papers_recipe_run_and_repeat(small: SearchSpace, data: ImageData) -> None:
    recipe = replace(of_length(VITAS_SUPERNET, 2), batch_size=33, cutmix=1.0)  # odd: timm mixes pairs
    nets = []
    for _ in range(2):
        nets.append(build_supernet(small, seed=0))
        fit_supernet(nets[-1], few(data, 70), recipe)
    assert same(*nets)
    without = build_supernet(small, seed=0)
    fit_supernet(without, few(data, 70), replace(recipe, cutmix=0.0))
    assert not same(nets[0], without)


def test_a_single_image_is_trained_on_unmixed(small: SearchSpace, data: ImageData) -> None:
    recipe = replace(QUICK, batch_size=64, cutmix=1.0)
    history = fit_supernet(build_supernet(small, seed=0), few(data, 65), recipe)
    assert history is not None
    assert all(math.isfinite(loss) for loss in history)


def test_the_papers_recipe() -> None:
    """ViTAS section 4.1, and the reference's supernet recipe."""
    recipe = supernet_recipe("folder:somewhere", 1_281_167)
    assert recipe == VITAS_SUPERNET
    assert recipe == supernet_recipe("folder:somewhere")  # nobody knows yet how many
    assert (recipe.epochs, recipe.batch_size, recipe.lr, recipe.warmup_epochs) == (300, 1024, 1e-3, 5)
    assert (recipe.weight_decay, recipe.label_smoothing, recipe.cutmix, recipe.mixup) == (0.05, 0.1, 1.0, 0.0)
    assert recipe.augmentation == Augmentation(crop_scale=(0.08, 1.0), hflip=0.5, erasing=0.25)
    assert not recipe.sandwich
    assert (recipe.ema, recipe.accumulate, recipe.autocast) == (None, 1, None)
    assert supernet_recipe("fashion-mnist:/somewhere").batch_size == 128


@pytest.mark.parametrize(("images", "epochs"), [(50, 300), (640, 300), (1077, 178), (2000, 96), (19_000, 40)])
def test_few_images_are_trained_on_for_about_as_many_steps(images: int, epochs: int) -> None:
    recipe = supernet_recipe("folder:somewhere", images)
    assert (recipe.epochs, recipe.batch_size, recipe.clip_grad) == (epochs, 64, 1.0)
    # nothing that could turn a letter into another
    slight = Augmentation(max_shift=0.08, max_rotation=8.0, max_scale=0.08)
    assert recipe.augmentation == (slight if images < 1000 else Augmentation())
    assert supernet_recipe("folder:somewhere", images, 3).epochs == 3


@pytest.mark.parametrize("change", [{}, {"ema": 0.9, "accumulate": 2, "autocast": "fp16", "cutmix": 1.0}], ids=str)
def test_a_training_that_stops_and_goes_on_ends_with_the_same_weights(
    small: SearchSpace, data: ImageData, tmp_path: Path, change: dict[str, Any]
) -> None:
    recipe, part = replace(QUICK, batch_size=16, **change), few(data, 100)
    whole = build_supernet(small, seed=0)
    expected = fit_supernet(whole, part, recipe)
    path, settings = tmp_path / "training.pt", {"any": [1, 2.5, None]}
    stops = 0
    history = None
    while history is None:
        again = build_supernet(small, seed=9)  # whose fresh weights must not matter once there is a state
        state = load_state(path, settings)
        if state is None:
            again = build_supernet(small, seed=0)
        # as good as no time: one step a start, in the middle of epochs and at their ends
        history = fit_supernet(again, part, recipe, deadline=Deadline(0), checkpoint=(path, settings), state=state)
        stops += 1
    assert stops == 3 * 7
    assert history == expected
    assert same(whole, again)


def test_a_checkpoint_from_longer_epochs_is_refused(small: SearchSpace, data: ImageData) -> None:
    with pytest.raises(InputError, match="is at step 4 of an epoch that has 4"):
        fit_supernet(build_supernet(small), few(data, 256), QUICK, state=State(step=4))
    with pytest.raises(InputError, match="0 training images are too few"):
        fit_supernet(build_supernet(small), few(data, 0), QUICK)


def test_another_setting_is_seen_without_torch_and_without_running_anything(tmp_path: Path) -> None:
    path = tmp_path / "training.pt"
    refuse_other_settings(path, {"epochs": 2})  # nothing there
    save_state(
        path, {"epochs": 2, "depths": [1, 2], "recipe": {"epochs": 2}}, State(tensors={"model": {"settings": 1}})
    )
    refuse_other_settings(path, {"epochs": 2, "depths": (1, 2)})
    with pytest.raises(OtherSettingsError, match=r"other settings \(depths, epochs\)\. Repeat that training's"):
        refuse_other_settings(path, {"epochs": 3, "depths": (1, 3)})
    refuse_other_settings(path, {"epochs": 2, "depths": "uniform"}, but=["depths"])
    with pytest.raises(OtherSettingsError, match="other settings"):  # of an earlier version
        refuse_other_settings(Path(__file__).parents[1] / "older_files/v1/training.pt", {"epochs": 12345})
    for content in (b"", b"PK nothing", path.read_bytes()[:-100]):
        path.write_bytes(content)
        refuse_other_settings(path, {"epochs": 3})  # who loads it says what is wrong


@pytest.mark.parametrize("change", ["another depth", "no weights", "a word"])
def test_a_checkpoint_of_another_model_is_refused(
    small: SearchSpace, data: ImageData, tmp_path: Path, change: str
) -> None:
    path, part = tmp_path / "training.pt", few(data, 128)
    assert fit_supernet(build_supernet(small), part, QUICK, deadline=Deadline(0), checkpoint=(path, {})) is None
    state, space = load_state(path, {}), small
    assert state is not None
    if change == "another depth":
        space = replace(small, depth=(1, 5))
    elif change == "no weights":
        del state.tensors["model"]
    else:
        state.tensors["model"] = "pretrained"
    supernet, content = build_supernet(space), path.read_bytes()
    with pytest.raises(FileError, match=r"^The checkpoint does not fit the model: .*\. Give fresh to train"):
        fit_supernet(supernet, part, QUICK, checkpoint=(path, {}), state=state)
    assert path.read_bytes() == content


def test_processes_of_one_training_share_no_gpu() -> None:
    with pytest.raises(InputError, match=r"^Each of 2 processes takes a GPU of its own, so the device .* cuda:0"):
        pick_device("cuda:0", Ranks(world=2))


def test_a_stream_goes_on_at_the_last_whole_epoch(small: SearchSpace, data: ImageData, tmp_path: Path) -> None:
    class Stream:
        """The digits as a stream; stops, as if killed, after so many batches."""

        can_skip, indices = False, ()

        def __init__(self, batches: int) -> None:
            self.left = batches

        def __len__(self) -> int:
            return 96

        def batches(self, how: Pass) -> Iterator[Any]:
            assert how.skip == 0
            for batch in few(data, 96).train.batches(how):
                if not self.left:
                    raise KeyboardInterrupt
                self.left -= 1
                yield batch

    recipe, path = replace(QUICK, batch_size=32), tmp_path / "training.pt"
    whole, again = build_supernet(small, seed=0), build_supernet(small, seed=0)
    expected = fit_supernet(whole, replace(data, train=Stream(99)), recipe)
    often = Runtime(save_every_s=0.0)
    with pytest.raises(KeyboardInterrupt):
        fit_supernet(again, replace(data, train=Stream(4)), recipe, runtime=often, checkpoint=(path, {}))
    state = load_state(path, {})
    assert state is not None
    assert (state.epoch, state.step) == (1, 0)
    assert fit_supernet(again, replace(data, train=Stream(99)), recipe, state=state) == expected
    assert same(whole, again)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "training.pt"
    save_state(path, {"epochs": 3, "lr": 1.0}, State(epoch=1))
    assert load_state(path, {"epochs": 3, "lr": 1.0}) == State(epoch=1)
    with pytest.raises(OtherSettingsError, match=r"other settings \(epochs\)"):
        load_state(path, {"epochs": 4, "lr": 1.0})
    assert load_state(tmp_path / "none.pt", {}) is None


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None])
def test_a_broken_checkpoint_is_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "training.pt"
    save_state(path, {}, State())
    path.write_bytes(path.read_bytes()[:-100] if content is None else content)
    with pytest.raises(FileError, match=r"broken checkpoint\. Give fresh"):
        load_state(path, {})


def test_a_checkpoint_that_carries_code_is_not_run(tmp_path: Path) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "executed",))

    path = tmp_path / "training.pt"
    path.write_bytes(pickle.dumps({"settings": Evil()}))
    with pytest.raises(FileError, match="broken checkpoint"):
        load_state(path, {})
    assert not (tmp_path / "executed").exists()


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    import resource
    import signal

    path = tmp_path / "training.pt"
    save_state(path, {}, State(epoch=1))
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(VitasError, match=r"could not be written to .* The last good one is kept"):
            save_state(path, {}, State(epoch=2, tensors={"model": {"w": torch.zeros(10**6)}}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert load_state(path, {}) == State(epoch=1)
    assert [file.name for file in tmp_path.iterdir()] == ["training.pt"]


def test_a_loss_that_is_no_number_stops_in_one_sentence_and_keeps_the_last_good_state(
    small: SearchSpace, data: ImageData, tmp_path: Path
) -> None:
    path = tmp_path / "training.pt"
    supernet = build_supernet(small, seed=0)
    part = few(data, 64)
    assert fit_supernet(supernet, part, QUICK, deadline=Deadline(0), checkpoint=(path, {})) is None
    good = path.read_bytes()
    broken = replace(part.train, preprocessing=replace(data.preprocessing, mean=(float("nan"),)))  # type: ignore[type-var]
    runtime = Runtime(save_every_s=0.0)
    with pytest.raises(VitasError, match=r"no longer a finite number in epoch 2.*last good state is kept"):
        fit_supernet(
            supernet,
            replace(part, train=broken),
            QUICK,
            runtime=runtime,
            checkpoint=(path, {}),
            state=load_state(path, {}),
        )
    assert path.read_bytes() == good
    assert all(bool(torch.isfinite(weight).all()) for weight in supernet.parameters())


def test_loss_and_learning_rate_are_logged_epoch_by_epoch(small: SearchSpace, data: ImageData) -> None:
    class Log:
        def __init__(self) -> None:
            self.rows: list[tuple[str, float, int]] = []

        def metrics(self, values: Mapping[str, float], epoch: int) -> None:
            self.rows += [(name, value, epoch) for name, value in values.items()]

        def close(self) -> None:
            raise AssertionError("closed by who opened it")

    log = Log()
    history = fit_supernet(build_supernet(small, seed=0), few(data, 64), QUICK, callback=log)
    assert history is not None
    assert [(value, step) for name, value, step in log.rows if name == "train/loss"] == [
        (loss, number) for number, loss in enumerate(history, 1)
    ]
    rates = [value for name, value, _ in log.rows if name == "train/lr"]
    assert len(rates) == 3
    assert 0 <= rates[-1] < max(rates) <= QUICK.lr


def test_accuracy_counts(data: ImageData) -> None:
    def always_zero(images: torch.Tensor) -> torch.Tensor:
        return torch.arange(10, 0, -1).float().expand(len(images), 10)

    found = accuracy(always_zero, data.test)
    assert found.top1 == pytest.approx(float((data.test.labels == 0).float().mean()))
    assert found.top5 == pytest.approx(float((data.test.labels < 5).float().mean()))


def test_fine_tuning_is_as_much_work_for_a_large_subnet() -> None:
    epochs = [finetune_recipe("digits", macs, 1077).epochs for macs in (10**6, 30 * 10**6, 60 * 10**6, 10**9)]
    assert epochs == [20, 15, 8, 4]
    assert finetune_recipe("folder:somewhere", 30 * 10**6, 1077).epochs == 15
    assert finetune_recipe("folder:somewhere", 30 * 10**6, 19_000) is None  # not brief
    assert finetune_recipe("folder:somewhere", 10**6, 100_000) is None


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"warmup_epochs": 3},
        {"lr": 0.0},
        {"lr": float("inf")},
        {"label_smoothing": 1.0},
        {"clip_grad": 0.0},
        {"cutmix": -1.0},
        {"ema": 1.0},
        {"accumulate": 3},
        {"autocast": "fp8"},
        {"teacher_weight": 2.0},
    ],
    ids=str,
)
def test_an_impossible_recipe_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        replace(QUICK, **change)
