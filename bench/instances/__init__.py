"""Benchmark instances, by name: ``get_instance("uniform-128x64@1").load()``."""

from bench.instances.errors import UnknownInstanceError
from bench.instances.files import file_instances
from bench.instances.instance import Instance
from bench.instances.registry import find_instance, get_instance
from bench.instances.sets import SETS, instance_set
from bench.instances.variants import noisy, pruned

__all__ = [
    "SETS",
    "Instance",
    "UnknownInstanceError",
    "file_instances",
    "find_instance",
    "get_instance",
    "instance_set",
    "noisy",
    "pruned",
]
