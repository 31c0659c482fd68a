"""What every layer of a network reads: second moments of its inputs, over calibration data."""

from permsolve.networks.calibration.calibrate import calibrate
from permsolve.networks.calibration.calibration import Calibration

__all__ = ["Calibration", "calibrate"]
