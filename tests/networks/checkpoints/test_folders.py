"""Reading checkpoint folders, feeding their models, and writing them again."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.utils import parametrizations

from permsolve import Problem, Result, solve
from permsolve.errors import FileFormatError, InvalidNetworkError, InvalidProblemError
from permsolve.networks import calibrate
from permsolve.networks.checkpoints.conversion import chosen_layers
from permsolve.networks.checkpoints.examples import example_calls
from permsolve.networks.checkpoints.files import Wishes, account_for_files
from permsolve.networks.checkpoints.folder import INDEX, SINGLE, CheckpointFolder
from permsolve.networks.checkpoints.loading import Loaded, load
from permsolve.networks.checkpoints.outputs import Outputs
from permsolve.networks.checkpoints.resuming import ResumingExecutor
from permsolve.networks.checkpoints.writing import write_checkpoint
from permsolve.stopping import MaxIterations
from tests.networks.checkpoints.tiny import build, llama, save


def _load(path: Path) -> Loaded:
    return load(CheckpointFolder.open(path), Wishes())


@pytest.mark.parametrize("name", ["llama", "bert", "mixtral", "t5", "vit", "clip", "whisper"])
def test_models_are_loaded_fed_and_written_as_they_were(name: str, tmp_path: Path) -> None:
    """Unchanged weights give the same bytes, and inputs of the right kind give outputs that are no inner states."""
    loaded = _load(save(build(name), tmp_path / "in", shard="40KB"))
    wrapped = Outputs(loaded.model)
    examples = example_calls(wrapped, loaded)
    assert examples.unreached == ()
    with torch.no_grad():
        outputs = wrapped(**examples.calls[0])
    assert outputs
    assert all(torch.isfinite(output).all() for output in outputs)
    if name in {"llama", "bert", "mixtral", "t5", "whisper"}:
        (logits,) = outputs
        assert logits.shape[-1] == 48
    write_checkpoint(loaded, account_for_files(loaded.folder, Wishes()), tmp_path / "out")
    for file in (tmp_path / "in").iterdir():
        assert (tmp_path / "out" / file.name).read_bytes() == file.read_bytes()


def test_changed_weights_take_the_place_of_the_old_ones(tmp_path: Path) -> None:
    """Only the tensor that changed differs; its type, and the tied copy that is stored beside it, follow."""
    model = llama(tied=True)
    save(model, tmp_path / "in", torch.bfloat16)
    stored = load_file(tmp_path / "in" / SINGLE)
    stored["lm_head.weight"] = stored["model.embed_tokens.weight"].clone()
    stored["model.norm.weight"] = stored["model.norm.weight"].float()  # checkpoints mix types
    save_file(stored, tmp_path / "in" / SINGLE, metadata={"format": "pt", "by": "us"})
    (tmp_path / "in" / "tokenizer").mkdir()
    (tmp_path / "in" / "tokenizer" / "words.txt").write_text("a b")
    (tmp_path / "in" / "pytorch_model.bin").write_bytes(b"old")
    (tmp_path / "in" / ".cache").write_bytes(b"")
    whole = _load(tmp_path / "in")
    assert whole.folder.widest == "float32"
    loaded = whole.model
    with torch.no_grad():
        for parameter in (loaded.get_parameter("model.embed_tokens.weight"), loaded.get_parameter("model.norm.weight")):
            parameter.copy_(parameter.flip(-1) * 2)
    files = account_for_files(whole.folder, Wishes())
    write_checkpoint(whole, files, tmp_path / "out")
    new = load_file(tmp_path / "out" / SINGLE)
    assert new.keys() == stored.keys()
    changed = {"lm_head.weight", "model.embed_tokens.weight", "model.norm.weight"}
    for name, tensor in new.items():
        assert tensor.dtype == stored[name].dtype
        assert torch.equal(tensor, stored[name].flip(-1) * 2 if name in changed else stored[name])
    assert sorted(str(f.relative_to(tmp_path / "out")) for f in (tmp_path / "out").rglob("*") if f.is_file()) == [
        "config.json", "generation_config.json", SINGLE, "tokenizer/words.txt",
    ]  # fmt: skip
    assert list(files.left_out) == ["pytorch_model.bin"]


def _config(folder: Path, **changed: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


def _index(folder: Path, text: str) -> None:
    (folder / SINGLE).rename(folder / "a.safetensors")
    (folder / INDEX).write_text(text)


def _extra(folder: Path) -> None:
    tensors = load_file(folder / SINGLE)
    save_file({**tensors, "value_head.weight": torch.arange(32.0)[None]}, folder / SINGLE, metadata={"format": "pt"})


def _lacking(folder: Path) -> None:
    tensors = load_file(folder / SINGLE)
    tensors.pop("model.layers.0.mlp.up_proj.weight")
    save_file(tensors, folder / SINGLE, metadata={"format": "pt"})


def _quantised(folder: Path) -> None:
    tensors = load_file(folder / SINGLE)
    tensors["lm_head.weight"] = tensors["lm_head.weight"].to(torch.float8_e4m3fn)
    save_file(tensors, folder / SINGLE, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "config.json").unlink(), r"no config\.json"),
        (lambda folder: (folder / SINGLE).unlink(), "other formats are not read"),
        (lambda folder: (folder / SINGLE).write_bytes(b"12345678"), "damaged"),
        (lambda folder: _index(folder, '{"weight_map": {"a": "gone.safetensors"}}'), "gone.safetensors"),
        (lambda folder: _index(folder, '{"weight_map": {"a": "../x.safetensors"}}'), "outside"),
        (lambda folder: _index(folder, "{}"), "index of shards"),
        (lambda folder: _config(folder, architectures=["LlamaForDreaming"]), "no architecture LlamaForDreaming"),
        (lambda folder: _config(folder, architectures=["BertTokenizer"]), "no architecture BertTokenizer"),
        (lambda folder: _config(folder, model_type="dreamer"), "cannot read it"),
        (lambda folder: _config(folder, intermediate_size=48), "shapes|mismatch"),
        (_quantised, "quantised"),
        (_extra, r"does not use .*value_head\.weight"),
        (_lacking, r"lacks.*up_proj"),
    ],
)
def test_what_cannot_be_read(damage: Callable[[Path], object], words: str, tmp_path: Path) -> None:
    """One clear error that names the folder and what is wrong."""
    folder = save(llama(), tmp_path / "in")
    damage(folder)
    with pytest.raises(FileFormatError, match=words) as caught:
        _load(folder)
    assert str(tmp_path) in str(caught.value)


def test_unknown_inputs(tmp_path: Path) -> None:
    """A model that reads what no configuration tells: its class is named, and the option that helps."""
    loaded = _load(save(llama(), tmp_path / "in"))
    wrapped = Outputs(loaded.model)
    wrapped.whole.forward = lambda waves, **_: waves
    wrapped.whole.main_input_name = "waves"
    with pytest.raises(InvalidNetworkError, match=r"LlamaForCausalLM reads waves, .*--inputs"):
        example_calls(wrapped, loaded)


def _solved(problem: Problem, iterations: int) -> Result:
    return solve(problem, "random", stop=MaxIterations(iterations))


def test_the_executor_remembers(tmp_path: Path) -> None:
    """The same solve is read from its file; another one, or a damaged file, is solved again."""
    problem = Problem(np.random.default_rng(0).random((8, 16)))
    done: list[None] = []
    executor = ResumingExecutor(tmp_path / "solved", lambda: done.append(None))
    assert not (tmp_path / "solved").exists()  # a run that is refused leaves nothing behind
    first = executor.submit(_solved, problem, 5).result()
    (file,) = (tmp_path / "solved").iterdir()
    written = file.stat().st_mtime_ns
    again = ResumingExecutor(tmp_path / "solved").submit(_solved, problem, 5).result()
    assert (again.permutation == first.permutation).all()
    assert again.runtime == first.runtime
    assert file.stat().st_mtime_ns == written
    executor.submit(_solved, problem, iterations=6).result()
    assert len(list((tmp_path / "solved").iterdir())) == 2
    file.write_text("{")
    assert (executor.submit(_solved, problem, 5).result().permutation == first.permutation).all()
    assert len(done) == 3
    with pytest.raises(InvalidProblemError):
        executor.submit(_solved, None, 5).result()


def test_weights_that_are_computed_do_not_count() -> None:
    """No tensor of the checkpoint could hold the zeros of a weight under weight_norm."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.plain, self.computed = nn.Linear(8, 8), parametrizations.weight_norm(nn.Linear(8, 8))

        def get_output_embeddings(self) -> None:
            return None

    chosen = chosen_layers(Model(), None, None)
    assert (chosen("plain"), chosen("computed")) == (True, False)


def test_what_experts_read_is_seen(tmp_path: Path) -> None:
    """They run in one product where a graph is made, and one after the other where a calibration looks."""
    model = _load(save(build("mixtral"), tmp_path / "model")).model
    before = model.get_experts_implementation()
    ids = {"input_ids": torch.arange(16).view(2, 8)}
    for seen in (False, True):
        found = calibrate(Outputs(model, one_by_one=seen), [ids], include="*experts")
        assert (len(found), len(found.missing)) == ((2, 0) if seen else (0, 2))
    assert model.get_experts_implementation() == before
