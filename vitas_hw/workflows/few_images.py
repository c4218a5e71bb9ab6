"""A few training images, to score what matters in a pretrained model."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from vitas_hw.data.augmentation import Augmentation
from vitas_hw.data.load import ImageData, stratified
from vitas_hw.data.splits import Batch, IndexedPart, Pass

FEW = 128  # images: forward and backward of a DeiT-S at 224 x 224 on them take about a minute of a CPU core
_FITTED, _FITTED_OF_EACH = 2048, 20  # images, and of each class
_BATCH = 16  # small: a score sums what each batch says
_SEED = 3


def few_images(data: ImageData, most: int = FEW) -> Iterator[Batch]:
    """Batches of at most ``most`` training images, unchanged, every class as often as in the data; of a stream the
    first.
    """
    part = data.train
    if isinstance(part, IndexedPart):
        labels = part.labels.numpy()
        part = part.subset(stratified(labels, min(most, len(labels)), _SEED).tolist())
    how = Pass(epoch=0, seed=_SEED, batch_size=min(_BATCH, len(part)), augmentation=Augmentation())
    return islice(part.batches(how), most // _BATCH)


def images_for_a_classifier(data: ImageData) -> Iterator[Batch]:
    """As few as a linear classifier of the data's classes is well fitted to: only seen forward, a minute or two."""
    return few_images(data, max(_FITTED, _FITTED_OF_EACH * len(data.class_names)))
