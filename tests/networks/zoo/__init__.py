"""Topologies on which whole networks are permuted: everyday ones, and those that break careless tools."""

from tests.networks.zoo import attention, conv, hostile, mixing, mlp, norm, recurrent, residual, transformer, vision
from tests.networks.zoo.case import Case

FAMILIES = (mlp, mixing, residual, conv, norm, vision, attention, transformer, recurrent, hostile)
ALL: tuple[Case, ...] = tuple(case for family in FAMILIES for case in family.CASES)
