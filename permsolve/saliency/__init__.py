"""What one weight is worth: saliency functions, registered by name.

A saliency turns a weight matrix into non-negative scores of the same shape. The score of a set of
kept weights is the sum of theirs, so any additive measure can be registered and every solver takes it. *Calibrated*
saliencies look at the inputs of the layer, too (:class:`permsolve.moments.InputMoments`).
"""

from permsolve.saliency.magnitude import magnitude
from permsolve.saliency.obd import obd
from permsolve.saliency.obs import obs
from permsolve.saliency.registry import (
    AnySaliency,
    CalibratedFunction,
    Saliency,
    SaliencyFunction,
    available_saliencies,
    get_saliency,
    register_saliency,
    registered_name,
)
from permsolve.saliency.ria import ria
from permsolve.saliency.squared import squared
from permsolve.saliency.wanda import wanda

__all__ = [
    "AnySaliency",
    "CalibratedFunction",
    "Saliency",
    "SaliencyFunction",
    "available_saliencies",
    "get_saliency",
    "magnitude",
    "obd",
    "obs",
    "register_saliency",
    "registered_name",
    "ria",
    "squared",
    "wanda",
]

register_saliency("magnitude", magnitude, elementwise=True)
register_saliency("squared", squared, elementwise=True)
register_saliency("wanda", wanda, elementwise=True, needs="mean_square")
register_saliency("ria", ria, needs="mean_square")
register_saliency("obd", obd, elementwise=True, needs="mean_square")
register_saliency("obs", obs, elementwise=True, needs="second_moment")
