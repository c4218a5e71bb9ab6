"""What trivial classifiers reach on the same images: a supernet that is below them has not learnt yet."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from vitas_hw.data.augmentation import Augmentation
from vitas_hw.data.load import ImageData
from vitas_hw.data.splits import Pass
from vitas_hw.training.health import Baseline

Floats = npt.NDArray[np.float64]
_SIDE = 16  # of the thumbnail: 768 numbers in colour
_MOST_IMAGES = 5000  # to fit to: seconds
_BATCH = 250
_ITERATIONS = 200


def baseline_of(data: ImageData, *, seed: int = 0) -> Baseline:
    """Fit to at most 5,000 training images, score on the search part; always the same for a seed.

    Example:
        >>> round(baseline_of(load_data("digits", load_space("vitas-digits"))).linear, 1)
        0.9
    """
    from sklearn.linear_model import LogisticRegression

    how = Pass(epoch=0, seed=seed, batch_size=_BATCH, augmentation=Augmentation())
    inputs, labels = [], []
    for images, of_batch in data.train.batches(how):
        inputs.append(_thumbnails(images))
        labels.append(of_batch)
        if sum(map(len, labels)) >= _MOST_IMAGES:
            break
    known, answers = np.concatenate(inputs), torch.cat(labels).numpy()
    wanted = data.search.labels.cpu().numpy()
    commonest = float((wanted == np.bincount(answers).argmax()).mean())
    if len(np.unique(answers)) < 2:
        return Baseline(commonest, commonest, len(answers))
    spread = known.std(axis=0)
    centre, scale = known.mean(axis=0), np.where(spread > 0, spread, 1.0)
    model = LogisticRegression(C=1 / len(known) ** 0.5, max_iter=_ITERATIONS)
    model.fit((known - centre) / scale, answers)
    asked = np.concatenate([_thumbnails(images.cpu()) for images, _ in data.search.batches(_BATCH)])
    return Baseline(commonest, float((model.predict((asked - centre) / scale) == wanted).mean()), len(answers))


def _thumbnails(images: Tensor) -> Floats:
    """(B, numbers) of images (B, C, H, W)."""
    height, width = (min(side, _SIDE) for side in images.shape[2:])
    found: Floats = F.adaptive_avg_pool2d(images, (height, width)).flatten(1).double().numpy()
    return found
