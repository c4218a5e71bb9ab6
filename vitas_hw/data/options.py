"""What ``load_data`` can be asked for beside the data: for settings, which load no torch."""

from __future__ import annotations

from vitas_hw.core.errors import InputError
from vitas_hw.core.settings import setting, settings

RECIPE = "Recipe (defaults depend on the data)"


@settings
class DataOptions:
    """Which images are in which part; None is what is usual for the data.

    Args:
        search_share: share of the training images held out for the search, the same for every class; None is a tenth,
            at most 10,000 images. The digits have a part of their own.
        train_split, val_split: names of the data set's own parts where they are not the usual ones. What it has for
            validation is the test part here; where it has nothing, as many images as for the search are held out.
        search_split: name of a part to search on instead of holding images out.
    """

    search_share: float | None = setting(
        default=None,
        help="Fraction of the training images held out for the search: 0.1.",
        group=RECIPE,
        above=0,
        below=1,
    )
    train_split: str | None = setting(default=None, help="Name of the split to train on.", group=RECIPE)
    val_split: str | None = setting(default=None, help="Name of the split to test on.", group=RECIPE)
    search_split: str | None = setting(default=None, help="Name of the split to search on.", group=RECIPE)

    def __post_init__(self) -> None:
        if self.search_share is not None and self.search_split is not None:
            raise InputError(
                "`search_share` and `search_split` exclude each other.", "Leave one of them out.", field="search_share"
            )
