"""By how much outputs have changed: a true number, or none."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from permsolve import networks
from permsolve.networks.compression.outputs import relative_change
from permsolve.stopping import MaxIterations

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("before", "after", "change", "lost"),
    [
        ([3.0, 4.0], [3.0, 3.0], 0.04, 0),
        ([3.0, 4.0, NAN, INF], [3.0, 3.0, NAN, -INF], 0.04, 0),
        ([3.0, 4.0, 9.0, NAN], [3.0, 3.0, INF, 9.0], 0.04, 2),
        ([3e300, 4e300], [3e300, 3e300], 0.04, 0),
        ([0.0, 0.0], [0.0, 0.0], 0.0, 0),
        ([0.0, 0.0], [0.0, 1.0], None, 0),
        ([NAN, INF], [NAN, INF], None, 0),
        ([1.0, 1.0], [NAN, NAN], None, 2),
        ([], [], None, 0),
        ([1.0], [1.0, 1.0], None, 0),
    ],
)
def test_change_of_what_is_finite(before: list[float], after: list[float], change: float | None, lost: int) -> None:
    """What became finite, or ceased to be, is counted apart."""
    found, note = relative_change(*([torch.tensor(one, dtype=torch.float64)] for one in (before, after)))
    assert found == (None if change is None else pytest.approx(change))
    assert (note or "0 ").startswith(f"{lost} ")


@dataclass
class Output:
    """A class that torch does not know."""

    values: Tensor
    loss: Tensor | None = None


class Returning(nn.Module):
    """Returns its outputs in some form."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form
        self.body = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))

    def forward(self, x: Tensor) -> Any:
        """Some form of the same values."""
        y = self.body(x)
        forms = {
            "dataclass": Output(y),
            "complex": torch.complex(y, 2 * y),
            "sparse": y.to_sparse(),
            "logarithms": y.log(),  # of which half are NaN, and other ones afterwards
        }
        return forms[self.form]


@pytest.mark.parametrize("form", ["dataclass", "complex", "sparse", "logarithms"])
def test_reports_have_true_numbers(form: str, tmp_path: Path) -> None:
    """Of a permutation no change, of pruning some; as JSON they are finite."""
    torch.manual_seed(0)
    model, x = Returning(form).eval(), torch.randn(32, 8)
    report = networks.compress_(model, (x,), calibration=[x], solver="random", stop=MaxIterations(5), workers=1)
    assert report.permutation is not None
    assert report.permutation.max_relative_error is not None
    assert report.permutation.max_relative_error < 1e-9
    assert report.output_error is not None
    assert 1e-6 < report.output_error < 1.0
    assert ("outputs" in report.notes) == (form == "logarithms")
    report.save(tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)["output_error"] > 0.0
