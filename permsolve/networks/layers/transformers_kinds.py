"""The layers of `transformers` that are no layers of torch.

Experts are parameters of three dimensions. Most classes are marked by a decorator (``use_experts_implementation``),
which leaves attributes in every layer: is_transposed tells (experts, in, out) from (experts, out, in).
"""

from torch import nn

from permsolve.networks.layers.layout import PLAIN, Layout
from permsolve.networks.layers.registry import Weights, register_layer_kind, register_looks

_MARKS = ("is_transposed", "has_gate")
_EXPERTS = ("gate_up_proj", "gate_proj", "up_proj", "down_proj")
_TURNED = Layout(out=1, input=0)
_BATCH = Layout(out=1, input=2, batch=0)
_TURNED_BATCH = Layout(out=2, input=1, batch=0)

_CLASSES: dict[str, Weights] = {
    "convbert.modeling_convbert.GroupedLinearLayer": {"weight": _TURNED_BATCH},
    "csm.modeling_csm.CsmCodebooksHead": {"weight": _TURNED_BATCH},
    "gemma3.modeling_gemma3.Gemma3MultiModalProjector": {"mm_input_projection_weight": _TURNED},
    "inkling.modeling_inkling.InklingSharedExperts": dict.fromkeys(_EXPERTS, _BATCH),
    "jetmoe.modeling_jetmoe.JetMoeParallelExperts": {"weight": _BATCH},
    "kyutai_speech_to_text.modeling_kyutai_speech_to_text.KyutaiSpeechToTextFlexibleLinear": {"weight": _BATCH},
    "llama4.modeling_llama4.Llama4TextExperts": dict.fromkeys(_EXPERTS, _TURNED_BATCH),
    "longcat_flash.modeling_longcat_flash.LongcatFlashExperts": dict.fromkeys(_EXPERTS, _BATCH),
    "moshi.modeling_moshi.MoshiFlexibleLinear": {"weight": _BATCH},
    "recurrent_gemma.modeling_recurrent_gemma.RecurrentGemmaRglru": {
        "input_gate_weight": _TURNED_BATCH,
        "recurrent_gate_weight": _TURNED_BATCH,
    },
    "step3p7.modeling_step3p7.Step3p7Experts": dict.fromkeys(_EXPERTS, _BATCH),
    "t5gemma2.modeling_t5gemma2.T5Gemma2MultiModalProjector": {"mm_input_projection_weight": _TURNED},
}


def _marked_experts(layer: nn.Module) -> Weights:
    """The weights of experts whose class the decorator marks; none for other layers."""
    if not all(isinstance(getattr(layer, mark, None), bool) for mark in _MARKS):
        return {}
    return dict.fromkeys(_EXPERTS, _TURNED_BATCH if layer.is_transposed else _BATCH)


def _dbrx(layer: nn.Module) -> Weights:
    """All experts in one matrix, the last of the three of each turned."""
    experts = int(getattr(layer, "moe_num_experts", 1))
    return {"w1": PLAIN, "v1": PLAIN, "w2": Layout(out=1, input=0, groups=experts)}


def register() -> None:
    """Make them known, without an import of the package."""
    register_layer_kind("transformers.pytorch_utils.Conv1D", {"weight": _TURNED}, reads_input=True)
    register_layer_kind("transformers.models.dbrx.modeling_dbrx.DbrxExpertGLU", _dbrx)
    for name, weights in _CLASSES.items():
        register_layer_kind(f"transformers.models.{name}", weights)
    register_looks(_marked_experts)
