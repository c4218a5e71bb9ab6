"""A run from Python: the steps of the command line as methods, whose keyword arguments are the steps' settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitas_hw.api import steps
from vitas_hw.api.found import Found, found_of, untrained
from vitas_hw.api.told import told_method
from vitas_hw.core import SILENT, Budget, InputError, Progress, Rows, SearchSpace
from vitas_hw.runs import DEFAULT_RUN
from vitas_hw.runs import Run as Directory
from vitas_hw.workflows.compare import CompareSettings
from vitas_hw.workflows.evaluate import EvaluateSettings
from vitas_hw.workflows.export.settings import ExportSettings
from vitas_hw.workflows.profile.settings import ProfileSettings
from vitas_hw.workflows.shrink.settings import ShrinkSettings
from vitas_hw.workflows.train.settings import RetrainSettings, TrainSettings

if TYPE_CHECKING:  # loaded by the step that needs it
    from timm.models.vision_transformer import VisionTransformer

    from vitas_hw.data import ImageData
    from vitas_hw.export import Exported
    from vitas_hw.predictors import Predictor
    from vitas_hw.runs import Shrunk
    from vitas_hw.searching import Candidate
    from vitas_hw.supernet import Supernet
    from vitas_hw.workflows.compare import Comparison
    from vitas_hw.workflows.evaluate import Evaluated
    from vitas_hw.workflows.predict import Predicted
    from vitas_hw.workflows.profile.profile import Profiled
    from vitas_hw.workflows.train.retrain import Retrained
    from vitas_hw.workflows.train.train import Trained


class Run:
    """A run: a directory with all files of a search, and methods for the steps that write them.

    The steps are those of the command line, with the same settings, files and errors; you can use both on one run. Call
    an interrupted step again to resume it. Files are read and written only when a step needs them.

    Args:
        path: the directory; the first step creates it.
        space: search space of a new run: a preset's name, a YAML file, or a ``SearchSpace``; None is ``digits``. For an
            existing run it must be the same, or None.
        data: the images to train on: ``digits``, ``folder:PATH``, ``hfds/NAME`` ..., see ``load_data``; None: each
            step's ``data`` argument.
        progress: True shows bars (without a terminal, lines) on stderr; False shows nothing; or an object with the
            methods of ``Reporter``.

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
        """The object that shows the progress of the steps."""
        if self._progress is True:
            from vitas_hw.report import Reporter

            return Reporter()
        return self._progress or SILENT

    @property
    def space(self) -> SearchSpace:
        """The run's search space.

        Raises:
            InputError: the run exists with another space than the given one.
        """
        return self._directory.space(self._space)

    @property
    def found(self) -> Found:
        """The result of the last search, read from the run's files.

        Raises:
            InputError: the run has not been searched.
        """
        from vitas_hw.runs import last_result

        result = last_result(self._directory)
        return found_of(result, self._model_of, lambda: self._model_of_choice(result.choice))

    @property
    def predictor(self) -> Predictor:
        """The latency predictor that was fitted last. Raises InputError if the run has none."""
        from vitas_hw.runs import load_run_predictor

        return load_run_predictor(self._directory)[0]

    @property
    def supernet(self) -> Supernet:
        """The trained supernet.

        Raises:
            InputError: the run has not been trained.
        """
        from vitas_hw.runs import load_run_supernet

        return load_run_supernet(self._directory)

    @property
    def images(self) -> ImageData:
        """The images of the supernet's training, in three splits: ``train``, ``search`` and ``test``.

        Raises:
            FileError: the run has not been trained, or ``data.json`` is missing or broken.
        """
        from vitas_hw.runs import load_run_data

        return load_run_data(self._directory, self.space)

    @told_method(steps.Profiling)
    def profile(self, asked: steps.Profiling) -> Profiled:
        """Measure sampled subnets on a device and fit a latency predictor for it.

        Returns: the profile and the predictor, with their files.

        Raises:
            InputError: the device does not exist, or earlier measurements used other settings or another machine.
            VitasError: no subnet runs on it, or too few were measured in time to fit a predictor.

        Example:
            >>> run.profile(device="cpu", num_subnets=120)  # minutes  # doctest: +SKIP
        """
        from vitas_hw.workflows.profile.profile import profile

        how = steps.own(asked, ProfileSettings)
        return profile(self._directory, how, space=self._space, fresh=asked.fresh, progress=self.progress)

    @told_method(steps.TrainingSupernet)
    def train(self, asked: steps.TrainingSupernet) -> Trained:
        """Train the supernet. With a budget, sampled subnets cost that much on average.

        Returns: losses and accuracy, and the supernet's file.

        Raises:
            InputError: settings, data and space do not match, or an unfinished training has other settings.
            VitasError: the loss became infinite or NaN, or a checkpoint could not be written.

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

        The default budget is the latency that 15% of random subnets meet on the profiled device.

        Returns: the best subnet, the front, and all candidates.

        Raises:
            InfeasibleBudgetError: no subnet meets the budget; the message gives the range of the space.
            InputError: an unreadable budget, or a missing earlier step.
            VitasError: no measured finalist meets the budget.

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
        budget = Budget.parse(latency, asked.flops, asked.params, asked.memory, asked.throughput)
        how = steps.searching(asked, targets)
        search_run(self._directory, budget, how, fresh=asked.fresh, progress=self.progress)
        return self.found

    @told_method(steps.Retraining)
    def retrain(self, asked: steps.Retraining) -> Retrained:
        """Train one subnet to its full accuracy.

        Returns: losses and accuracy, and the file of its weights.

        Raises:
            InputError: an unknown subnet, no data for it, no supernet to start from, or an unfinished retraining has
                other settings.
            VitasError: the loss became infinite or NaN, or a checkpoint could not be written.

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
        """Compute top-1 and top-5 of subnets with the supernet's weights.

        Returns: a table with a row for each: ``subnet`` and ``accuracy``.

        Raises:
            InputError: no subnet given, a subnet outside the run's space, or a run without a supernet.

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
        """Measure subnets side by side on one target, in one interleaved run; with ``predictors``, on the targets of
        these: measured where the target is this machine, predicted elsewhere.

        Returns: a table with a row for each: latencies, costs, and top-1 on the test part where it has trained weights.

        Raises:
            InputError: fewer than two subnets and targets, an unknown one, no such device, or images of other sizes.

        Example:
            >>> name = "amd-epyc-zen5-onnxruntime-fp32-b1-t1-i32--vitas-digits"
            >>> compared = vh.Run("runs/digits").compare(["smallest", "choice"], predictors=name, rounds=1)
            >>> [row.name for row in compared.rows], compared.target.device_name
            (['smallest', 'choice'], 'amd-epyc-zen5')
        """
        from vitas_hw.workflows.compare import compare

        how = steps.own(asked, CompareSettings, predictors=steps.texts(asked.predictors))
        return compare(self._directory, steps.words(asked.subnets), how, progress=self.progress)

    def predict(self, subnets: Sequence[steps.SubnetWord], *, predictor: str | Path | None = None) -> Rows[Predicted]:
        """Predict latencies with 90% intervals.

        Args:
            subnets: subnets, or words as on the command line (``smallest``, ``choice``, a file ...).
            predictor: a file or a shipped predictor's name; None is the run's own.

        Returns: a table with a row for each.

        Raises:
            InputError: an unknown name, a subnet with other images or classes, or a run without a predictor.

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
        """Export a subnet. A file is kept only if its logits match PyTorch's on real images.

        Returns: a table with a row for each file: its ``path`` and the result of the check (``beside``).

        Raises:
            InputError: nothing to export, or the folder does not exist.
            VitasError: the logits of a file do not match; it is not kept.

        Example:
            >>> (exported,) = vh.Run("runs/digits", progress=False).export("onnx")
            >>> exported.path.name, exported.beside.agreement
            ('choice.onnx', 1.0)
        """
        from vitas_hw.export import Exported
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
        """Write one self-contained HTML page about the run.

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
        from vitas_hw.report import report

        return report(self._directory, steps.path_of(output), progress=self.progress)[0]

    @told_method(steps.Shrinking)
    def shrink(self, asked: steps.Shrinking) -> Shrunk:
        """Shrink a trained ViT to a budget: all steps, from the search space to the export.

        Returns: a comparison of the original and the choice.

        Raises:
            InputError: the model already meets the budget, the run belongs to another model, or an error of a step.
            InfeasibleBudgetError: no subnet of the model meets the budget; raised before any training.

        Example:
            >>> run = vh.Run("runs/small", data="folder:photos")
            >>> run.shrink("deit_small_patch16_224", latency="5ms")  # hours  # doctest: +SKIP
        """
        from vitas_hw.workflows.shrink.shrink import shrink

        how = steps.own(asked, ShrinkSettings, budget=asked.budget_or(asked.budget), **self._images_or(asked))
        return shrink(self._directory, asked.model, how, fresh=asked.fresh, progress=self.progress)

    def _images_or(self, asked: Any) -> dict[str, str]:
        """The step's data, else the run's; empty if neither was given."""
        data = asked.data or self.data
        return {} if data is None else {"data": data}

    def _model_of(self, candidate: Candidate) -> VisionTransformer:
        """With the supernet's weights."""
        if candidate.top1 is None:
            raise untrained()
        from vitas_hw.supernet import extract

        supernet = self.supernet
        return extract(supernet, candidate.subnet, supernet.sides[0] or None, candidate.layers).eval()

    def _model_of_choice(self, choice: Candidate) -> VisionTransformer:
        """With the weights that it was fine-tuned or retrained to."""
        from vitas_hw.runs import choose

        chosen = choose(self._directory)
        if (chosen.subnet, chosen.layers) != (choice.subnet, choice.layers):
            raise InputError(
                f"The run {self.path} has been searched again since: its choice is another subnet now.",
                "Take `found` of the run anew.",
            )
        if chosen.seed is not None:
            raise untrained()
        return chosen.model
