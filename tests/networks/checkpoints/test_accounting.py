"""Files and tensors beside a model: each follows, provably fits, is left out and named, or forbids it all."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("transformers")

import transformers as hf
from safetensors.torch import load_file, save_file

from permsolve.errors import FileFormatError, InvalidOptionError
from permsolve.networks.checkpoints.files import AS_TOLD, OLD_ORDER, Wishes, account_for_files
from permsolve.networks.checkpoints.folder import INDEX, SINGLE, CheckpointFolder
from permsolve.networks.checkpoints.loading import Loaded, load
from permsolve.networks.checkpoints.writing import write_checkpoint
from tests.cli.conftest import Answer, run_command
from tests.networks.checkpoints.tiny import TEXT, build, llama, save

QUICK = ("--time-limit", "0.2", "--workers", "1", "--solver", "local-search")


def _load(path: Path, **wishes: tuple[str, ...]) -> Loaded:
    return load(CheckpointFolder.open(path), Wishes(**wishes))


def _add(path: Path, tensors: dict[str, torch.Tensor], file: str = SINGLE) -> None:
    save_file({**load_file(path / file), **tensors}, path / file, metadata={"format": "pt"})


def _write(path: Path, name: str, content: bytes = b"\x80\x02\0\xff") -> None:
    (path / name).parent.mkdir(parents=True, exist_ok=True)
    (path / name).write_bytes(content)


def _refused(answer: Answer, *words: str) -> bool:
    return answer.code == 2 and answer.err.count("\n") == 1 and all(word in answer.err for word in words)


@pytest.mark.parametrize(
    "name",
    [
        "mtp.safetensors",
        "adapter_model.safetensors",
        "adapter_config.json",
        "lora/adapter_config.json",
        "value_head.safetensors",
        "value_head.bin",
        "optimizer.pt",
        "vae/diffusion_pytorch_model.safetensors",
        "draft/model.safetensors",
        "model.fp16.safetensors",
        "2_Dense/pytorch_model.bin",
        "eagle.weights",
        "heads.npz",
    ],
)
def test_what_may_read_a_permuted_axis_forbids_it_all(name: str, tmp_path: Path) -> None:
    """One sentence names the file and an option; with the option it is left out, and said to be, or copied."""
    source = save(llama(), tmp_path / "in")
    _write(source, name, b"{}" if name.endswith("json") else b"\x80\x02\0\xff")
    folder = CheckpointFolder.open(source)
    with pytest.raises(FileFormatError, match=r"--leave-out") as caught:
        account_for_files(folder, Wishes())
    assert str(source / name) in str(caught.value)
    assert account_for_files(folder, Wishes(leave_out=(name,))).left_out == {name: AS_TOLD}
    assert Path(name) in account_for_files(folder, Wishes(unchanged=(f"*{Path(name).suffix}",))).copied


def test_what_is_copied_and_what_is_a_copy(tmp_path: Path) -> None:
    """Texts, tokenizers, pictures and settings are copied; other formats of the same weights are left out."""
    source = save(llama(), tmp_path / "in")
    copied = ["tokenizer.model", "training_args.bin", "scheduler.pt", "logo.png"]
    old = [
        "pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "tf_model.h5", "flax_model.msgpack", "model.gguf",
        "onnx/model.onnx", "onnx/model.onnx_data", "original/consolidated.00.pth", "consolidated.safetensors",
    ]  # fmt: skip
    for name in copied + old:
        _write(source, name)
    texts = {"README.md": b"caf\xe9", "code/modeling.py": b"", "words": ("a" * ((1 << 16) - 1) + "ö").encode()}
    for name, text in texts.items():
        _write(source, name, text)
    for name in (".git/objects/x.bin", ".cache/model.safetensors"):
        _write(source, name)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "notes.txt").write_text("notes")
    (source / "linked").symlink_to(tmp_path / "elsewhere")
    (source / "around").symlink_to(source)
    files = account_for_files(CheckpointFolder.open(source), Wishes())
    names = {file.as_posix() for file in files.copied}
    assert {*copied, *texts, "linked/notes.txt", "config.json", "generation_config.json"} == names
    assert files.left_out == dict.fromkeys(sorted(old), OLD_ORDER)


def test_what_is_no_file(tmp_path: Path) -> None:
    """A link to nothing is named."""
    source = save(llama(), tmp_path / "in")
    (source / "gone.json").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileFormatError, match=r"gone\.json.*link"):
        account_for_files(CheckpointFolder.open(source), Wishes())


@pytest.mark.parametrize(
    ("name", "tensor", "fits"),
    [
        ("h.0.attn.masked_bias", torch.tensor(-1e4), True),
        ("final_logits_bias", torch.zeros(1, 48), True),
        ("model.layers.0.self_attn.rotary_emb.inv_freq", 1e4 ** -(torch.arange(0, 8, 2) / 8), True),
        ("model.layers.0.attn.bias", torch.ones(1, 1, 16, 16).tril(), True),
        ("embeddings.position_ids", torch.arange(32)[None], True),
        ("embeddings.position_ids", torch.arange(32).flip(0)[None], False),
        ("model.layers.0.self_attn.rotary_emb.inv_freq", torch.rand(4), False),
        ("mtp.norm.weight", torch.linspace(0, 1, 32), False),
        ("v_head.weight", torch.randn(1, 32), False),
        ("model.layers.1.mlp.gate_proj.weight", torch.randn(64, 32), False),
    ],
)
def test_tensors_that_the_model_does_not_use(name: str, tensor: torch.Tensor, fits: bool, tmp_path: Path) -> None:
    """Those that every permutation leaves alone are copied, as are tables over positions; others are named."""
    source = save(llama(), tmp_path / "in")
    _add(source, {name: tensor})
    if fits:
        assert _load(source).tensors.copied == {name}
        return
    with pytest.raises(FileFormatError, match="does not use") as caught:
        _load(source)
    assert name in str(caught.value)
    assert _load(source, leave_out=(name,)).tensors.left_out == {name}
    assert _load(source, unchanged=(name,)).tensors.copied == {name}


def test_the_options(tmp_path: Path) -> None:
    """What is left out is gone from files and index, and said; what is vouched for is as it was; others are refused."""
    source = save(llama(), tmp_path / "in", shard="20KB")
    index = json.loads((source / INDEX).read_text())
    shard = next(iter(sorted(set(index["weight_map"].values()))))
    extra = {
        "mtp.fc.weight": torch.randn(32, 64),
        "mtp.norm.weight": torch.randn(32),
        "probe.weight": torch.randn(3, 3),
    }
    _add(source, extra, shard)
    index["weight_map"] |= dict.fromkeys(extra, shard)
    (source / INDEX).write_text(json.dumps(index))
    _write(source, "speakers.pt")
    run = ("permute-checkpoint", source, "--out", tmp_path / "out", *QUICK)
    assert _refused(run_command(*run), "speakers.pt", "--leave-out")
    assert _refused(run_command(*run, "--unchanged", "*.pt"), "mtp.fc.weight", "--leave-out 'mtp.*'")
    told = ("--unchanged", "*.pt", "--unchanged", "probe.*", "--leave-out", "mtp.*")
    assert _refused(run_command(*run, *told, "--leave-out", "medusa.*"), "medusa")
    assert not (tmp_path / "out").exists()
    answer = run_command(*run, *told)
    assert answer.code == 0, answer.err
    assert answer.err.splitlines() == [
        f"permsolve: {name} was left out: {AS_TOLD}" for name in ("mtp.fc.weight", "mtp.norm.weight")
    ]
    out = tmp_path / "out"
    assert (out / "speakers.pt").read_bytes() == (source / "speakers.pt").read_bytes()
    after = load_file(out / shard)
    assert torch.equal(after["probe.weight"], extra["probe.weight"])
    assert set(json.loads((out / INDEX).read_text())["weight_map"]) == {*index["weight_map"]} - {*extra} | {
        "probe.weight"
    }
    model: Any = hf.LlamaForCausalLM.from_pretrained(out)
    ids = torch.arange(24).view(2, 12)
    with torch.no_grad():
        before = hf.LlamaForCausalLM.from_pretrained(source)(ids).logits
        torch.testing.assert_close(model(ids).logits, before, rtol=1e-4, atol=1e-6)


def _sentences(model: Any, path: Path, weights: str = "model.safetensors") -> Path:
    """A folder of sentence-transformers: the model, a pooling, and a dense layer of its own."""
    save(model, path)
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Dense": "Dense"}
    modules = [
        {"idx": k, "name": str(k), "path": folder, "type": f"sentence_transformers.models.{kind}"}
        for k, (folder, kind) in enumerate(kinds.items())
    ]
    (path / "modules.json").write_text(json.dumps(modules))
    _write(path, "1_Pooling/config.json", b"{}")
    _write(path, "2_Dense/config.json", b"{}")
    _write(path, f"2_Dense/{weights}")
    return path


def _files(path: Path) -> list[str]:
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())


@pytest.mark.parametrize(
    ("kind", "weights"),
    [
        pytest.param(hf.BertModel, "model.safetensors", marks=pytest.mark.slow),
        (hf.BertForMaskedLM, "pytorch_model.bin"),
    ],
)
def test_folders_of_sentence_transformers(kind: Any, weights: str, tmp_path: Path) -> None:
    """All their files are there, and the hidden states that their modules read come in the order that they had."""
    torch.manual_seed(0)
    source = _sentences(kind(hf.BertConfig(**TEXT)), tmp_path / "in", weights)
    answer = run_command("permute-checkpoint", source, "--out", tmp_path / "out", *QUICK)
    assert (answer.code, answer.err) == (0, "")
    files = sorted(file.relative_to(source) for file in source.rglob("*") if file.is_file())
    assert files == sorted(
        file.relative_to(tmp_path / "out") for file in (tmp_path / "out").rglob("*") if file.is_file()
    )
    assert (tmp_path / "out" / "2_Dense" / weights).read_bytes() == (source / "2_Dense" / weights).read_bytes()
    assert (tmp_path / "out" / SINGLE).read_bytes() != (source / SINGLE).read_bytes()
    ids = torch.arange(20).view(2, 10)
    with torch.no_grad():
        before, after = (
            hf.AutoModel.from_pretrained(path, output_hidden_states=True)(ids) for path in (source, tmp_path / "out")
        )
    for old, new in zip(before.hidden_states, after.hidden_states, strict=True):
        torch.testing.assert_close(new, old, rtol=1e-4, atol=1e-5)


def test_modules_of_unknown_code(tmp_path: Path) -> None:
    """They may read whatever they like."""
    source = _sentences(hf.BertModel(hf.BertConfig(**TEXT)), tmp_path / "in")
    text = (source / "modules.json").read_text()
    (source / "modules.json").write_text(text.replace("sentence_transformers.models.Dense", "custom_st.Dense"))
    with pytest.raises(FileFormatError, match=r"custom_st\.Dense"):
        account_for_files(CheckpointFolder.open(source), Wishes())


def _without_architecture(path: Path) -> None:
    config = json.loads((path / "config.json").read_text())
    config.pop("architectures")
    (path / "config.json").write_text(json.dumps(config))


def test_other_classes_of_the_same_family(tmp_path: Path) -> None:
    """A checkpoint with more than the class that it names uses, or with no class, is loaded by one that uses it all."""
    torch.manual_seed(0)
    source = save(hf.BertForPreTraining(hf.BertConfig(**TEXT)), tmp_path / "in")
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps({**config, "architectures": ["BertForMaskedLM"]}))
    loaded = _load(source)
    assert type(loaded.model).__name__ == "BertForPreTraining"
    assert loaded.states_are_read
    plain = save(llama(), tmp_path / "plain")
    _without_architecture(plain)
    assert type(_load(plain).model).__name__ == "LlamaForCausalLM"


def test_nan_is_a_value_like_others(tmp_path: Path) -> None:
    """A row of NaN stays one, and nothing is left behind."""
    model = llama()
    with torch.no_grad():
        model.model.embed_tokens.weight[47] = float("nan")
    source = save(model, tmp_path / "in", torch.bfloat16)
    _add(source, {"model.norm.weight": torch.ones(32)})  # one type more: what is read is cast
    answer = run_command("permute-checkpoint", source, "--out", tmp_path / "out", *QUICK)
    assert answer.code == 0, answer.err
    nan = load_file(tmp_path / "out" / SINGLE)["model.embed_tokens.weight"].isnan()
    assert nan[47].all()
    assert nan.sum() == 32
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def _quantised(path: Path) -> None:
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": "gptq"}}))


def _own_code(path: Path) -> None:
    config = json.loads((path / "config.json").read_text()) | {"model_type": "dream"}
    (path / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "modeling.Dream"}}))
    (path / "modeling.py").write_text("raise SystemExit")


def _bad_value(path: Path) -> None:
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, "hidden_size": "wide"}))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: _write(path, "config.json", b"{"), ("config.json", "damaged")),
        (lambda path: _write(path, "config.json", b"\xff\xfe"), ("config.json",)),
        (lambda path: _write(path, "config.json", b"[]"), ("config.json", "no JSON object")),
        (lambda path: _write(path, "config.json", b'{"model_type": null}'), ("config.json",)),
        (lambda path: _write(path, "modules.json", b"{}"), ("modules.json",)),
        (_quantised, ("config.json", "permute before quantising")),
        (_own_code, ("config.json", "auto_map", "permsolve.networks.permute_")),
        (_bad_value, ("hidden_size",)),
    ],
)
def test_one_line_for_whatever_is_wrong(damage: Callable[[Path], None], words: tuple[str, ...], tmp_path: Path) -> None:
    """No traceback, and nothing written."""
    source = save(llama(), tmp_path / "in")
    damage(source)
    assert _refused(run_command("permute-checkpoint", source, "--out", tmp_path / "out", *QUICK), *words)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_settings_of_generation_are_no_concern(tmp_path: Path) -> None:
    """A generation_config.json that transformers refuses is copied as it is."""
    source = save(llama(), tmp_path / "in")
    text = '{"num_return_sequences": 3'  # nor is it whole
    (source / "generation_config.json").write_text(text)
    loaded = _load(source)
    write_checkpoint(loaded, account_for_files(loaded.folder, Wishes()), tmp_path / "out")
    assert (tmp_path / "out" / "generation_config.json").read_text() == text


def test_a_glob_about_nothing() -> None:
    with pytest.raises(InvalidOptionError, match="--leave-out 'x"):
        Wishes(leave_out=("x*",)).check(["config.json"])


def test_unused_names_of_other_models(tmp_path: Path) -> None:
    """A tied copy with values of its own is used as such, or named."""
    source = save(build("t5"), tmp_path / "in")
    _add(source, {"decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight": torch.randn(32, 4)})
    with pytest.raises(FileFormatError, match="relative_attention_bias"):
        _load(source)
