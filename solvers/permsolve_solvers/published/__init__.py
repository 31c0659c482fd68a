"""The published methods, written from their descriptions, so that anyone can compare."""

from permsolve_solvers.published.channel_swap import ChannelSwap
from permsolve_solvers.published.ria import Ria
from permsolve_solvers.published.stripe_groups import StripeGroups

__all__ = ["ChannelSwap", "Ria", "StripeGroups"]
