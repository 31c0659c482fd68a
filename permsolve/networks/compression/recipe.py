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
    """

    saliency: str
    permute: bool = True
    update: str | None = "obs"


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "auto": Recipe("obs"),
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
    if recipe not in RECIPES:
        raise InvalidOptionError(f"unknown recipe {recipe!r}: choose one of {', '.join(RECIPES)}, or give a Recipe")
    return RECIPES[recipe]
