"""The layers of torch."""

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from permsolve.networks.layers.layout import PLAIN, Layout
from permsolve.networks.layers.registry import Unpruned, Weights, register_layer_kind

_LIST = Unpruned("nn.RNN, nn.LSTM and nn.GRU read their weights from a list of their own, where no mask holds")


def _linear(layer: nn.Module) -> Weights:
    """A subclass may store its weight the other way round, which its shape tells unless it is square."""
    weight = getattr(layer, "weight", None)
    outputs, inputs = getattr(layer, "out_features", None), getattr(layer, "in_features", None)
    if not isinstance(weight, Tensor) or is_lazy(weight) or outputs == inputs:
        return {"weight": PLAIN}
    return {"weight": Layout(out=1, input=0) if tuple(weight.shape) == (inputs, outputs) else PLAIN}


def _transposed_convolution(layer: nn.Module) -> Weights:
    return {"weight": Layout(out=1, input=0, groups=int(getattr(layer, "groups", 1)))}


def _recurrent(layer: nn.Module) -> Weights:
    return {name: _LIST for name, parameter in layer.named_parameters(recurse=False) if parameter.ndim > 1}


def register() -> None:
    """Make them known."""
    layer: type[nn.Module]
    register_layer_kind(nn.Linear, _linear, reads_input=True)
    for layer in (nn.Conv1d, nn.Conv2d, nn.Conv3d):
        register_layer_kind(layer, reads_input=True)
    for layer in (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d):
        register_layer_kind(layer, _transposed_convolution, reads_input=True)
    projections = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
    register_layer_kind(nn.MultiheadAttention, dict.fromkeys(projections, PLAIN))
    register_layer_kind(nn.RNNCellBase, {"weight_ih": PLAIN, "weight_hh": PLAIN})
    register_layer_kind(nn.RNNBase, _recurrent)
    register_layer_kind(nn.Bilinear, {"weight": Unpruned("two inputs are multiplied by it, and N:M has one axis")})
    for layer in (nn.Embedding, nn.EmbeddingBag):
        register_layer_kind(layer, {"weight": Unpruned("a lookup table: nothing is multiplied by it", False)})
    for layer in (nn.LayerNorm, nn.RMSNorm):
        scale = Unpruned("it scales entry by entry, and is no matrix", False)
        register_layer_kind(layer, dict.fromkeys(("weight", "bias"), scale))
