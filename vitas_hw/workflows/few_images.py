"""A few training images, to score what matters in a pretrained model."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from vitas_hw.data.augmentation import Augmentation
from vitas_hw.data.load import ImageData, stratified
from vitas_hw.data.splits import Batch, IndexedPart, Pass

FEW = 128  # images: forward and backward of a DeiT-S at 224 x 224 on them take about a minute of a CPU core
_BATCH = 16  # small: a score sums what each batch says
_SEED = 3


def few_images(data: ImageData) -> Iterator[Batch]:
    """Batches of at most 128 training images, unchanged, every class as often as in the data; of a stream the first."""
    part = data.train
    if isinstance(part, IndexedPart):
        labels = part.labels.numpy()
        part = part.subset(stratified(labels, min(FEW, len(labels)), _SEED).tolist())
    how = Pass(epoch=0, seed=_SEED, batch_size=min(_BATCH, len(part)), augmentation=Augmentation())
    return islice(part.batches(how), FEW // _BATCH)
