"""Searches of others that take part when the user has them at hand; nothing of theirs is kept here."""

from collections.abc import Mapping
from types import MappingProxyType

# Folder of a checkout of NVIDIA Apex.
APEX_VARIABLE = "PERMSOLVE_APEX"

PEERS: Mapping[str, str] = MappingProxyType(
    {
        "apex-stripe-groups": "bench.peers.apex:ApexStripeGroups",
        "apex-channel-swap": "bench.peers.apex:ApexChannelSwap",
    }
)
