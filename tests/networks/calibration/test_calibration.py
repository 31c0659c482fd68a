"""Moments of a network: following its permutation, files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch import nn

from permsolve import networks
from permsolve.errors import FileFormatError, InvalidSpecError
from permsolve.moments import InputMoments
from permsolve.networks.calibration import Calibration
from tests.networks.calibration.test_calibrate import second
from tests.networks.running import Inputs, randomised
from tests.networks.test_zoo import OPTIONS
from tests.networks.zoo import ALL
from tests.networks.zoo.case import Case

# Residual streams, attention of several kinds, grouped convolutions, gathers, weights that are shared or computed.
QUICK = {
    "attention_grouped",
    "decoder_tied",
    "flatten_beside_conv",
    "grouped_after_grouped",
    "multihead_on_input",
    "resnet",
    "shufflenet_v1",
    "swiglu",
    "weight_norm",
}
CASES = [
    pytest.param(case, id=case.name, marks=() if case.name in QUICK else pytest.mark.slow)
    for case in ALL
    if case.expect == "permuted"
]


def assert_equal(found: Calibration, expected: Calibration) -> None:
    """The same weights with the same moments."""
    assert found.keys() == expected.keys()
    assert found.missing == expected.missing
    for name, moments in expected.items():
        scale = float(moments.mean_square.max()) + 1e-30
        np.testing.assert_allclose(
            found[name].mean_square / scale, moments.mean_square / scale, rtol=1e-6, atol=1e-9, err_msg=name
        )
        one, other = second(found[name]), second(moments)
        np.testing.assert_allclose(one / scale, other / scale, rtol=1e-6, atol=1e-9, err_msg=name)


def calibrated(model: nn.Module, inputs: Inputs) -> Calibration:
    """With the same random numbers each time, for models that draw some."""
    torch.manual_seed(1)
    return networks.calibrate(model, [inputs])


@pytest.mark.parametrize("gather", [pytest.param("never", marks=pytest.mark.slow), "allowed"])
@pytest.mark.parametrize("case", CASES)
def test_moments_follow_a_permutation(case: Case, gather: str) -> None:
    """Those of the permuted model are as permuted, with gathers and without; what is shared stays so."""
    torch.manual_seed(0)
    with torch.no_grad():  # weights computed by hooks must be leaves, or the model could not be copied
        model = randomised(case.build()).eval()
    inputs = case.inputs()
    before = calibrated(model, inputs)
    report = networks.permute_(model, inputs, verify=False, gather=gather, **OPTIONS)
    found, after = before.permuted(report), calibrated(model, inputs)
    assert_equal(found, after)
    assert len({id(one) for one in found.values()}) == len({id(one) for one in after.values()})


def small() -> Calibration:
    """Two weights that share moments, one that has diagonal ones, and a missing one."""
    x = np.random.default_rng(0).normal(size=(20, 6))
    shared = InputMoments.from_samples(x)
    return Calibration({"q.weight": shared, "k.weight": shared, "o.weight": InputMoments(x[:2] ** 2)}, {"p": "no"})


def test_files(tmp_path: Path) -> None:
    """What is read is what was written, and what is shared is stored once."""
    calibration, path = small(), tmp_path / "c.safetensors"
    calibration.save(path)
    loaded = Calibration.load(path)
    assert repr(loaded) == "Calibration(3 weights, 2 different inputs, full and diagonal, 1 missing)"
    assert loaded.missing == {"p": "no"}
    assert loaded["q.weight"] is loaded["k.weight"]
    for name, moments in calibration.items():
        np.testing.assert_array_equal(loaded[name].mean_square, moments.mean_square)
        assert loaded[name].samples == moments.samples
    assert loaded["o.weight"].second_moment is None
    np.testing.assert_array_equal(second(loaded["q.weight"]), second(calibration["q.weight"]))
    with pytest.raises(FileFormatError, match=r"name it \.safetensors"):
        calibration.save(tmp_path / "c.npz")


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    """Wherever a file is cut off, and whatever else it is."""
    path, cut = tmp_path / "c.safetensors", tmp_path / "cut.safetensors"
    small().save(path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 37):
        cut.write_bytes(whole[:length])
        with pytest.raises(FileFormatError, match="cut"):
            Calibration.load(cut)
    save_file({"w": np.ones(3)}, cut)
    with pytest.raises(FileFormatError, match="format version 1"):
        Calibration.load(cut)
    ours = {"format": "permsolve-calibration", "format_version": "1"}
    for document in ("{}", "[", '{"inputs": {"a": 3}, "samples": [], "missing": {}}'):
        save_file({"w": np.ones(3)}, cut, ours | {"calibration": document})
        with pytest.raises(FileFormatError, match="not a calibration"):
            Calibration.load(cut)


def test_moments_of_another_model_do_not_follow() -> None:
    """The report says which shapes it is for."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8))
    report = networks.permute_(model, (torch.randn(2, 8),), "2:4", **OPTIONS)
    assert report.groups
    with pytest.raises(InvalidSpecError, match=r"2\.weight: moments of 6 features do not fit"):
        Calibration({"2.weight": InputMoments(np.ones(6))}).permuted(report)
