"""One vocabulary for subnets: every command takes every word, and means the same by it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.subnet import Subnet
from vitas_hw.runs.artifacts import last_result
from vitas_hw.runs.directory import Run
from vitas_hw.runs.subnets import choose, subnet_named, subnets_named
from vitas_hw.supernet import weights_file
from vitas_hw.workflows import compare as comparing
from vitas_hw.workflows import predict as predicting
from vitas_hw.workflows.compare import CompareSettings, compare
from vitas_hw.workflows.evaluate import EvaluateSettings, evaluate
from vitas_hw.workflows.export import export as exporting
from vitas_hw.workflows.predict import predict_subnets
from vitas_hw.workflows.train import retrain as retraining
from vitas_hw.workflows.train.settings import RetrainSettings

OLD = Path(__file__).parents[1] / "older_files" / "v1"
# word: what it means to the run; a function's, of a file that it makes
WORDS: dict[str, Callable[[Run], Subnet]] = {
    "smallest": lambda run: run.space(None).smallest,
    "largest": lambda run: run.space(None).largest,
    "choice": lambda run: last_result(run).choice.subnet,
    "front:1": lambda run: last_result(run).front[-1].subnet,
    "random:7": lambda run: run.space(None).sample(7),
    "DIGEST": lambda run: last_result(run).candidates[0].subnet,
    "PREFIX": lambda run: last_result(run).candidates[0].subnet,
    "JSON": lambda run: run.space(None).sample(3),
    "subnet.json": lambda run: run.space(None).sample(3),
    "candidate.json": lambda run: last_result(run).candidates[0].subnet,
    "lines.jsonl": lambda run: last_result(run).candidates[0].subnet,
    "choice.safetensors": lambda run: last_result(run).choice.subnet,
}
ELSEWHERE = ("vitas-c", "deit_tiny_patch16_224")  # of other images: what has no images cannot be trained or evaluated
OF_A_RUN = {"choice", "front:1", "DIGEST", "PREFIX"}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A trained and searched run, beside files of its subnets."""
    run = Run(Path(shutil.copytree(OLD / "run", tmp_path / "run")))
    monkeypatch.chdir(tmp_path)
    first = run.candidates.read_text().splitlines()[0]
    Path("subnet.json").write_text(run.space(None).sample(3).to_json())
    Path("candidate.json").write_text(first)
    Path("lines.jsonl").write_text(f"{first}\n\n")
    shutil.copy(run.choice, "choice.safetensors")
    return run


def typed(word: str, run: Run) -> str:
    digest = last_result(run).candidates[0].subnet.digest
    return {"DIGEST": digest, "PREFIX": digest[:8], "JSON": run.space(None).sample(3).to_json()}.get(word, word)


@pytest.mark.parametrize("word", WORDS)
def test_every_command_means_the_same(word: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, given = WORDS[word](run), typed(word, run)
    assert subnet_named(given, run).subnet == expected
    (evaluated,) = evaluate(run, [given], EvaluateSettings(device="cpu"))
    assert evaluated.subnet == expected
    seen: list[Subnet] = []

    def stop(_: object, subnet: Subnet, *__: object) -> None:
        seen.append(subnet)
        raise StopIteration

    monkeypatch.setattr(exporting, "data_for", stop)
    monkeypatch.setattr(retraining, "data_for", stop)
    monkeypatch.setattr(comparing, "find_place", lambda *_, **__: None)
    monkeypatch.setattr(comparing, "_top1", lambda run, named, *_: stop(run, named.subnet))
    commands: list[Callable[[], object]] = [
        lambda: exporting.export(run, subnet=given),
        lambda: retraining.retrain(run, RetrainSettings(epochs=1, device="cpu"), subnet=given),
        lambda: comparing.compare(run, [given, "smallest"], CompareSettings()),
    ]
    for command in commands:
        with pytest.raises(StopIteration):
            command()
    assert seen == [expected] * 3


@pytest.mark.parametrize("word", sorted(WORDS) + list(ELSEWHERE))
def test_a_prediction_means_the_same_and_without_a_run_has_none_of_its_words(
    word: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Subnet] = []

    class Fake:
        space = run.space(None)

        def predict(self, subnets: list[Subnet]) -> None:
            asked.extend(subnets)

    monkeypatch.setattr(predicting, "load_predictor", lambda _: Fake())
    given = typed(word, run)
    names, _ = predict_subnets([given, "smallest"], "mine", run)
    assert asked == [subnet_named(given, run).subnet, Fake.space.smallest]
    assert names == [asked[0].digest if given.startswith("{") else given, "smallest"]
    with pytest.raises(InputError) as caught:
        predict_subnets(["choice"], "mine", Run(run.path / "nowhere"))
    assert caught.value.problem == "Unknown subnet 'choice'."
    assert "smallest, largest, vitas-a" in caught.value.allowed
    assert "front" not in caught.value.allowed


@pytest.mark.parametrize("word", ELSEWHERE)
def test_subnets_of_other_images_have_fresh_weights(word: str, run: Run) -> None:
    chosen = choose(run, word, seed=3)
    assert (chosen.seed, chosen.supernet, chosen.name) == (3, None, word)
    assert chosen.weights == "fresh, not trained, drawn with seed 3"


@pytest.mark.parametrize("word", ["nothing", "random:x", "front:one", "1234567", "elsewhere.txt"])
def test_an_unknown_word_lists_what_is_known(word: str, run: Run) -> None:
    for command in (choose, lambda r, w: evaluate(r, [w]), lambda r, w: compare(r, [w, "smallest"], CompareSettings())):
        with pytest.raises(InputError) as caught:
            command(run, word)
        assert caught.value.problem == f"Unknown subnet {word!r}."
        for known in ("smallest", "vitas-c", "random:SEED", "choice", "front:RANK", "digest", "timm", "JSON"):
            assert known in caught.value.allowed


def test_a_rank_is_a_word_and_both_at_once_are_too_many(run: Run) -> None:
    assert choose(run, rank=1).subnet == choose(run, "front:1").subnet
    with pytest.raises(InputError, match="there is no rank 0"):
        choose(run, "front:0")
    with pytest.raises(InputError, match="Both a rank of the front and a subnet were given"):
        choose(run, "front:1", rank=1)


def test_a_digest_has_to_be_known_and_of_one_candidate(run: Run) -> None:
    with pytest.raises(InputError, match="The last search has no candidate of the digest 00000000"):
        subnet_named("00000000", run)
    lines = run.candidates.read_text().splitlines()
    one, two = (json.loads(line)["subnet"] for line in lines[:2])
    clashing = {Subnet.from_dict(one): "0123456789abcdef", Subnet.from_dict(two): "01234567fedcba98"}
    for subnet, digest in clashing.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Subnet, "digest", property(lambda self: clashing.get(self, "f" * 16)))
            assert subnet_named(digest, run).subnet == subnet
            with pytest.raises(InputError, match="The digests of 2 candidates begin with 01234567") as caught:
                subnet_named("01234567", run)
            assert "0123456789abcdef" in caught.value.hint


def test_a_file_of_several_is_for_commands_that_take_several(run: Run) -> None:
    lines = run.candidates.read_text().splitlines()
    Path("two.jsonl").write_text("\n".join(lines[:2]))
    assert [one.word for one in subnets_named("two.jsonl", run)] == ["two.jsonl:1", "two.jsonl:2"]
    assert len(evaluate(run, ["two.jsonl"], EvaluateSettings(device="cpu"))) == 2
    with pytest.raises(InputError, match="holds 2 subnets, where one is needed"):
        choose(run, "two.jsonl")
    Path("none.jsonl").write_text("\n")
    with pytest.raises(FileError, match="holds no subnet: it is empty"):
        choose(run, "none.jsonl")


def test_no_weights_are_read_to_be_thrown_away(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(run.choice, run.retrained)
    read: list[str] = []
    right = weights_file.load_model
    monkeypatch.setattr(weights_file, "load_model", lambda path: read.append(path.name) or right(path))
    monkeypatch.setattr(weights_file, "load_supernet", lambda path: read.append(path.name))
    for word in ("choice", "front:1", "smallest", "choice.safetensors"):
        assert choose(run, word).subnet.depth > 0
    assert read == []
    chosen = choose(run)
    assert chosen.model is chosen.model
    assert read == ["retrained.safetensors"]


def test_the_layers_of_a_candidate_are_kept(run: Run) -> None:
    data = {"subnet": run.space(None).smallest.to_dict(), "layers": [0, 2]}
    assert subnet_named(json.dumps(data), run).layers == (0, 2)
    with pytest.raises(InputError, match="The layers of a candidate are whole numbers"):
        subnet_named(json.dumps(data | {"layers": ["0"]}), run)
    with pytest.raises(InputError, match="This is not the JSON of a subnet"):
        subnet_named("{", run)
