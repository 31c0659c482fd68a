"""The networks: one file per architecture, and a registry of names."""

from bench.train.networks.registry import Network, build, evaluate, get_network, load_data

__all__ = ["Network", "build", "evaluate", "get_network", "load_data"]
