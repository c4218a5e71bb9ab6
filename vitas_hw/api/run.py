"""A run from Python: the steps of the command line as methods, whose keyword arguments are the steps' settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitas_hw.api import steps
from vitas_hw.api.found import Found, found_of, untrained
from vitas_hw.api.told import told_method
from vitas_hw.core.budget import Budget
from vitas_hw.core.errors import InputError
from vitas_hw.core.progress import SILENT, Progress
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.tables import Rows
from vitas_hw.runs.directory import DEFAULT_RUN
from vitas_hw.runs.directory import Run as Directory
from vitas_hw.workflows.compare import CompareSettings
from vitas_hw.workflows.evaluate import EvaluateSettings
from vitas_hw.workflows.export.settings import ExportSettings
from vitas_hw.workflows.profile.settings import ProfileSettings
from vitas_hw.workflows.shrink.settings import ShrinkSettings
from vitas_hw.workflows.train.settings import RetrainSettings, TrainSettings

if TYPE_CHECKING:  # loaded by the step that needs it
    from timm.models.vision_transformer import VisionTransformer

    from vitas_hw.data.load import ImageData
    from vitas_hw.export.parity import Exported
    from vitas_hw.predictors.predictor import Predictor
    from vitas_hw.runs.shrunk import Shrunk
    from vitas_hw.searching.result import Candidate
    from vitas_hw.supernet.supernet import Supernet
    from vitas_hw.workflows.compare import Comparison
    from vitas_hw.workflows.evaluate import Evaluated
    from vitas_hw.workflows.predict import Predicted
    from vitas_hw.workflows.profile.profile import Profiled
    from vitas_hw.workflows.train.retrain import Retrained
    from vitas_hw.workflows.train.train import Trained


class Run:
    """A directory that keeps what each step makes, and the steps as methods.

    They are those of the command line, with the same settings, files and errors; a run may be worked on from both. A
    step that was interrupted goes on when it is called again. Nothing is read or written before a step needs it.

    Args:
        path: of the directory; made by the first step.
        space: of a new run: a preset's name, a YAML file, or a ``SearchSpace``; None is ``digits``. Of a run that
            is there it must be the same, or None.
        data: the images to train on: ``digits``, ``folder:PATH``, ``hfds/NAME`` ..., see ``load_data``; None leaves
            it to each step.
        progress: True shows bars, or lines where there is no terminal, on stderr; False shows nothing; else an object
            with the methods of ``Reporter``.

    Example:
        >>> run = vh.Run("runs/digits")
        >>> run.space.name, run.found.best.macs
        ('tiny', 30544)
        >>> run = vh.Run("runs/photos", space="photos.yaml", data="folder:photos")  # a new one
    """

    def __init__(
        self,
        path: str | Path = DEFAULT_RUN,
        *,
        space: str | Path | SearchSpace | None = None,
        data: str | None = None,
        progress: bool | Progress = True,
    ) -> None:
        self.path = Path(path)
        self.data = data
        self._directory = Directory(self.path)
        self._space = str(space) if isinstance(space, Path) else space
        self._progress = progress

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def progress(self) -> Progress:
        """Where the steps report to."""
        if self._progress is True:
            from vitas_hw.report.progress import Reporter

            return Reporter()
        return self._progress or SILENT

    @property
    def space(self) -> SearchSpace:
        """The run's search space.

        Raises:
            InputError: the run is one of another space than was given.
        """
        return self._directory.space(self._space)

    @property
    def found(self) -> Found:
        """What the last search found, read from the run's files.

        Raises:
            InputError: nothing was searched.
        """
        from vitas_hw.runs.artifacts import last_result

        result = last_result(self._directory)
        return found_of(result, self._model_of, lambda: self._model_of_choice(result.choice))

    @property
    def predictor(self) -> Predictor:
        """The latency predictor that was fitted last. Raises InputError if nothing was profiled."""
        from vitas_hw.runs.artifacts import load_run_predictor

        return load_run_predictor(self._directory)[0]

    @property
    def supernet(self) -> Supernet:
        """The trained supernet.

        Raises:
            InputError: nothing was trained.
        """
        from vitas_hw.runs.artifacts import load_run_supernet

        return load_run_supernet(self._directory)

    @property
    def images(self) -> ImageData:
        """The images that the supernet was trained on, in their three parts.

        Raises:
            FileError: nothing was trained, or the run no longer tells on what.
        """
        from vitas_hw.runs.artifacts import load_run_data

        return load_run_data(self._directory, self.space)

    @told_method(steps.Profiling)
    def profile(self, asked: steps.Profiling) -> Profiled:
        """Measure sampled subnets on a device and fit a latency predictor for it.

        Returns: the profile and the predictor, with their files.

        Raises:
            InputError: the device is not there, or earlier timings were taken with other settings or elsewhere.
            VitasError: nothing runs on it, or too few were measured in the time for a predictor.

        Example:
            >>> run.profile(device="cpu", num_subnets=120)  # minutes  # doctest: +SKIP
        """
        from vitas_hw.workflows.profile.profile import profile

        how = steps.own(asked, ProfileSettings)
        return profile(self._directory, how, space=self._space, fresh=asked.fresh, progress=self.progress)

    @told_method(steps.TrainingSupernet)
    def train(self, asked: steps.TrainingSupernet) -> Trained:
        """Train the supernet; with a budget, sampled subnets cost that on average.

        Returns: how it went, and the supernet's file.

        Raises:
            InputError: settings, data and space do not fit together, or an unfinished training had other settings.
            VitasError: the loss is no longer finite, or a checkpoint could not be written.

        Example:
            >>> run.train(epochs=100)  # minutes  # doctest: +SKIP
        """
        from vitas_hw.workflows.train.train import train

        how = steps.own(asked, TrainSettings, budget=asked.budget_or(asked.budget), **self._images_or(asked))
        done = train(
            self._directory,
            how,
            space=self._space,
            fresh=asked.fresh,
            callbacks=asked.callbacks,
            progress=self.progress,
        )
        for sentence in done.health.advice if done.health else ():
            self.progress.note(sentence)
        return done

    @told_method(steps.Searching)
    def search(self, asked: steps.Searching) -> Found:
        """Find the most accurate subnet under a budget, measure the finalists on the device, fine-tune the best.

        Without a budget: a latency that 15% of random subnets meet on the profiled device.

        Returns: the best subnet, the front, and all candidates.

        Raises:
            InfeasibleBudgetError: no subnet fits; says what the space reaches.
            InputError: a budget that cannot be read, or a step before this one is missing.
            VitasError: nothing measured inside the budget in the end.

        Example:
            >>> run = vh.Run("runs/digits", progress=False)
            >>> found = run.search(flops="20K", population=4, generations=2)
            >>> found.best.macs <= 20_000, found.front[0].macs <= found.best.macs
            (True, True)
        """
        from vitas_hw.workflows.search.search import search_run
        from vitas_hw.workflows.search.settings import parse_latencies

        texts = [asked.latency] if isinstance(asked.latency, str) else list(asked.latency or ())
        latency, targets = parse_latencies(texts)
        budget, how = Budget.parse(latency, asked.flops, asked.params, asked.memory), steps.searching(asked, targets)
        search_run(self._directory, budget, how, fresh=asked.fresh, progress=self.progress)
        return self.found

    @told_method(steps.Retraining)
    def retrain(self, asked: steps.Retraining) -> Retrained:
        """Train one subnet to its full accuracy.

        Returns: how it went, and the file of its weights.

        Raises:
            InputError: there is no such subnet, no data for it, no supernet to start from, or an unfinished retraining
                had other settings.
            VitasError: the loss is no longer finite, or a checkpoint could not be written.

        Example:
            >>> retrained = vh.Run("runs/digits", progress=False).retrain(epochs=1, init="supernet")
            >>> retrained.epochs, retrained.subnet.params
            (1, 7266)
        """
        from vitas_hw.workflows.train.retrain import retrain

        unknown = {} if self._directory.data.exists() else self._images_or(asked)  # a trained run knows its parts too
        return retrain(
            self._directory,
            steps.own(asked, RetrainSettings, **unknown),
            subnet=steps.word(asked.subnet),
            rank=asked.rank,
            output=steps.path_of(asked.output),
            fresh=asked.fresh,
            callbacks=asked.callbacks,
            progress=self.progress,
        )

    @told_method(steps.Evaluating)
    def evaluate(self, asked: steps.Evaluating) -> Rows[Evaluated]:
        """Top-1 and top-5 of subnets with the weights of the supernet.

        Returns: a table with a row for each: ``subnet`` and ``accuracy``.

        Raises:
            InputError: no subnet at all, one that is not of the run's space, or nothing was trained.

        Example:
            >>> rows = vh.Run("runs/digits", progress=False).evaluate(["smallest", "largest"], random=2)
            >>> [row["macs"] for row in rows.to_dicts()][:2]
            [10592, 33504]
        """
        from vitas_hw.workflows.evaluate import Evaluated, evaluate

        how = steps.own(asked, EvaluateSettings)
        found = evaluate(self._directory, steps.words(asked.subnets), how, progress=self.progress)
        return Rows(found, Evaluated.cells, f"Accuracy on {how.split}")

    @told_method(steps.Comparing)
    def compare(self, asked: steps.Comparing) -> Comparison:
        """Measure subnets side by side on one target, in one interleaved run.

        Returns: a table with a row for each: latency, costs, and top-1 on the test part where it has trained weights.

        Raises:
            InputError: fewer than two subnets, an unknown one, images of several sizes, no such device.

        Example:
            >>> compared = vh.Run("runs/digits", progress=False).compare(["smallest", "choice"], rounds=1)
            >>> [row.name for row in compared.rows], compared.target.backend
            (['smallest', 'choice'], 'onnxruntime')
        """
        from vitas_hw.workflows.compare import compare

        how = steps.own(asked, CompareSettings)
        return compare(self._directory, steps.words(asked.subnets), how, progress=self.progress)

    def predict(self, subnets: Sequence[steps.SubnetWord], *, predictor: str | Path | None = None) -> Rows[Predicted]:
        """Predict latencies with 90% intervals.

        Args:
            subnets: words as the command line takes them (``smallest``, ``choice``, a file ...), or subnets.
            predictor: a shipped name or a file; None is the run's own.

        Returns: a table with a row for each.

        Raises:
            InputError: an unknown name, a subnet that the predictor is not for, or a run without a predictor.

        Example:
            >>> name = "amd-epyc-zen5-onnxruntime-fp32-b1-t1-i32--vitas-digits"
            >>> rows = vh.Run("runs/new").predict(["smallest", "largest"], predictor=name)
            >>> rows[0].latency_ms < rows[1].latency_ms
            True
        """
        from vitas_hw.workflows.predict import predict_rows

        return predict_rows(steps.words(subnets), predictor, self._directory)

    @told_method(steps.Exporting)
    def export(self, asked: steps.Exporting) -> Rows[Exported]:
        """Write a subnet for other tools; each file is checked against torch on real images before it is kept.

        Returns: a table with a row for each file: ``path``, and how it compares.

        Raises:
            InputError: nothing to export, or no folder for it.
            VitasError: a file would not compute the same; it is not kept.

        Example:
            >>> (exported,) = vh.Run("runs/digits", progress=False).export("onnx")
            >>> exported.path.name, exported.beside.agreement
            ('choice.onnx', 1.0)
        """
        from vitas_hw.export.parity import Exported
        from vitas_hw.workflows.export.export import export

        formats = (asked.formats,) if isinstance(asked.formats, str) else tuple(asked.formats)
        found = export(
            self._directory,
            steps.own(asked, ExportSettings, formats=formats),
            subnet=steps.word(asked.subnet),
            rank=asked.rank,
            output=steps.path_of(asked.output),
            progress=self.progress,
        )
        return Rows(found, Exported.cells, "Exports beside torch")

    def report(self, output: str | Path | None = None) -> Path:
        """Write one HTML page of the run, to read anywhere.

        Args:
            output: the file; None is ``report.html`` in the run.

        Returns: the file.

        Raises:
            InputError: there is no run, or ``output`` is a directory.
            FileError: a file of the run is broken.

        Example:
            >>> vh.Run("runs/digits", progress=False).report("page.html").name
            'page.html'
        """
        from vitas_hw.report.page import report

        return report(self._directory, steps.path_of(output), progress=self.progress)[0]

    @told_method(steps.Shrinking)
    def shrink(self, asked: steps.Shrinking) -> Shrunk:
        """The best part of a trained ViT inside a budget, in one go: every step from the space to the export.

        Returns: the original and the choice side by side.

        Raises:
            InputError: a budget that the model is inside of already, or another run; and as each step does.
            InfeasibleBudgetError: no part of the model fits; says so before anything is trained.

        Example:
            >>> run = vh.Run("runs/small", data="folder:photos")
            >>> run.shrink("deit_small_patch16_224", latency="5ms")  # hours  # doctest: +SKIP
        """
        from vitas_hw.workflows.shrink.shrink import shrink

        how = steps.own(asked, ShrinkSettings, budget=asked.budget_or(asked.budget), **self._images_or(asked))
        return shrink(self._directory, asked.model, how, fresh=asked.fresh, progress=self.progress)

    def _images_or(self, asked: Any) -> dict[str, str]:
        """The data that a step was told, else the run's; nothing if neither was given."""
        data = asked.data or self.data
        return {} if data is None else {"data": data}

    def _model_of(self, candidate: Candidate) -> VisionTransformer:
        """With the supernet's weights."""
        if candidate.top1 is None:
            raise untrained()
        from vitas_hw.supernet.supernet import extract

        supernet = self.supernet
        return extract(supernet, candidate.subnet, supernet.sides[0] or None, candidate.layers).eval()

    def _model_of_choice(self, choice: Candidate) -> VisionTransformer:
        """With the weights that it was fine-tuned or retrained to."""
        from vitas_hw.runs.subnets import choose

        chosen = choose(self._directory)
        if (chosen.subnet, chosen.layers) != (choice.subnet, choice.layers):
            raise InputError(
                f"The run {self.path} has been searched again since: its choice is another subnet now.",
                "Take `found` of the run anew.",
            )
        if chosen.seed is not None:
            raise untrained()
        return chosen.model
