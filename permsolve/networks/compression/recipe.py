"""How a network is compressed."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from permsolve.errors import InvalidOptionError


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is done, and by what measure.

    Attributes
    ----------
    saliency : str
        What is kept the most of, by the permutation and by the masks.
    permute : bool
        Whether to permute first.
    update : {None, "obs", "exchange"}
        Whether the weights that are kept are fitted to the outputs of their layers, and masks improved for it
        (:func:`permsolve.networks.prune_`).
    in_order : bool, default False
        Whether layers are pruned one after the other, each to make up for what earlier ones lost (``batches`` of
        :func:`permsolve.networks.prune_`), where batches to calibrate with are given that can be read again.
    """

    saliency: str
    permute: bool = True
    update: str | None = "obs"
    in_order: bool = False


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "auto": Recipe("obs", update="exchange", in_order=True),
        "exchange": Recipe("obs", update="exchange"),
        "fit": Recipe("obs"),
        "magnitude": Recipe("magnitude", update=None),
        "no-update": Recipe("obd", update=None),
    }
)


def get_recipe(recipe: str | Recipe) -> Recipe:
    """A recipe by its name; one that is given stays as it is.

    Raises
    ------
    InvalidOptionError
        When there is none of this name.
    """
    if isinstance(recipe, Recipe):
        return recipe
    if not isinstance(recipe, str) or recipe not in RECIPES:
        raise InvalidOptionError(f"unknown recipe {recipe!r}: choose one of {', '.join(RECIPES)}, or give a Recipe")
    return RECIPES[recipe]
