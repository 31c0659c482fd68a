"""Names: round trips, patterns, sets, and errors that help."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from bench.instances import SETS, UnknownInstanceError, file_instances, find_instance, get_instance, instance_set
from bench.instances.sets import PATTERNS
from bench.instances.trained import CACHE_VARIABLE
from bench.train.cache import NotTrainedError, store
from bench.train.catalogue import NETWORKS
from permsolve.errors import FileFormatError, InvalidPatternError


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("name", SETS)
def test_names_round_trip(name: str, pattern: str) -> None:
    """Every instance of every set is what its whole name gives, and no name comes twice."""
    instances = instance_set(name, pattern)
    for instance in instances:
        again = get_instance(instance.name)
        assert again.name == instance.name
        assert (again.family, again.rows, again.columns) == (instance.family, instance.rows, instance.columns)
        assert str(again.pattern) == pattern
    assert len({instance.name for instance in instances}) == len(instances)


def test_sets() -> None:
    """The published grid has what the literature measures, and no set is made until it is asked for."""
    published = {instance.name: instance for instance in instance_set("published")}
    assert {f"uniform-64x128@{seed}" for seed in range(25)} <= published.keys()
    assert {f"uniform-32x16@{seed}" for seed in range(25)} <= published.keys()
    assert {"uniform-256x256@1", "uniform-512x256@1", "uniform-2048x2048@1", "uniform-128x64@1"} <= published.keys()
    assert max(instance.rows for instance in instance_set("lm")) == 100_000
    assert len(instance_set("real")) == 1 + sum(map(len, NETWORKS.values()))


def test_short_names() -> None:
    """The family, the seed and 2:4 may be left out."""
    assert get_instance("128x64").name == get_instance("uniform-128x64@1+2:4").name == "uniform-128x64@1"
    assert get_instance("128x64", "4:8").name == "uniform-128x64@1+4:8"
    assert get_instance("digits+1:2").name == "digits+1:2"


def test_variants() -> None:
    """Zeros and noise, one after the other; the name gives the same weight again, and no optimum is claimed."""
    plain = get_instance("planted-8x16@1").make()
    noisy = get_instance("planted-8x16@1~noise2.5+2:4")
    assert (noisy.name, noisy.optimum, noisy.make().dtype) == ("planted-8x16@1~noise2.5", None, plain.dtype)
    change = noisy.make() - plain
    assert 0.5 < change.std() / (0.025 * plain.std()) < 1.5
    np.testing.assert_array_equal(noisy.make(), get_instance(noisy.name).make())
    both = get_instance("8x16@1~noise1~50+1:2")
    assert both.name == "uniform-8x16@1~noise1~50+1:2"
    assert (both.make() == 0.0).sum() == 64
    assert ((both.make() == get_instance("8x16@1~noise1").make()) | (both.make() == 0.0)).all()


def test_digits() -> None:
    """The embedded weight needs neither a cache nor torch."""
    instance = get_instance("digits")
    problem = instance.load()
    assert (problem.rows, problem.columns) == (instance.rows, instance.columns) == (128, 256)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("unifrom-128x64@1", "did you mean uniform"),
        ("digit", "did you mean digits"),
        ("fashion-mlp/fc4", "did you mean fashion-mlp/fc"),
        ("cifar-conv/conv1", "did you mean cifar-conv/conv"),
        ("weights.npy", "no instance"),
        ("", "no instance"),
        ("0x64@1", "at least one row"),
        ("8x8@99999999999", "no instance"),
        ("8x8@9999999999", "at most"),
        ("128x64@1+4:2", "impossible"),
        ("128x64@1+", "write it as N:M"),
        ("128x64@1~", "percentage of zeros"),
        ("128x64@1~100", "percentage of zeros"),
        ("128x64@1~noise", "as ~noise1"),
    ],
)
def test_unknown_names(name: str, message: str) -> None:
    """A name that means nothing is refused in words that help."""
    with pytest.raises(UnknownInstanceError, match=message):
        get_instance(name)


def test_other_errors() -> None:
    """Sets, patterns at odds, impossible patterns, a planted weight that does not fit."""
    with pytest.raises(UnknownInstanceError, match="did you mean published"):
        instance_set("publish")
    with pytest.raises(UnknownInstanceError, match="pattern of its own"):
        get_instance("128x64@1+4:8", "2:4")
    with pytest.raises(InvalidPatternError):
        get_instance("128x64@1", "4:2")
    with pytest.raises(UnknownInstanceError, match="multiple of 4"):
        get_instance("planted-8x10@1").load()


def test_trained_layers_come_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the folder given, or named in the environment; a convolution is read as R*S*K rows and C columns."""
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    with pytest.raises(UnknownInstanceError, match=CACHE_VARIABLE):
        get_instance("cifar-conv/conv2").load()
    with pytest.raises(NotTrainedError, match="python -m bench train"):
        get_instance("cifar-conv/conv2", cache=tmp_path).load()
    weight = np.random.default_rng(0).standard_normal(NETWORKS["cifar-conv"]["conv2"]).astype(np.float32)
    store(
        tmp_path,
        "cifar-conv",
        {"conv2.weight": weight},
        recipe={},
        loss=1.0,
        accuracy=0.5,
        seconds=1.0,
        versions={},
        data={},
    )
    instance = get_instance("cifar-conv/conv2", cache=tmp_path)
    problem = pickle.loads(pickle.dumps(instance)).load()
    assert (problem.rows, problem.columns) == (instance.rows, instance.columns) == (64 * 9, 64)
    np.testing.assert_array_equal(problem.saliency, np.abs(weight).transpose(0, 2, 3, 1).reshape(-1, 64))
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    np.testing.assert_array_equal(get_instance("cifar-conv/conv2").load().saliency, problem.saliency)


def test_own_files(tmp_path: Path) -> None:
    """A .npy file is one instance, a .safetensors file one for each tensor that can be permuted."""
    rng = np.random.default_rng(0)
    tensors = {name: rng.standard_normal(shape, dtype=np.float32) for name, shape in {"a": (8, 12), "b": (5,)}.items()}
    np.save(tmp_path / "mine.npy", tensors["a"])
    save_file(tensors, tmp_path / "model.safetensors")
    (one,) = file_instances(tmp_path / "mine.npy", pattern="4:8")
    assert (one.name, one.family, one.rows, one.columns) == ("mine+4:8", "file", 8, 12)
    np.testing.assert_array_equal(one.load().saliency, np.abs(tensors["a"]))
    (other,) = file_instances(tmp_path / "model.safetensors")
    assert other.name == "model/a"
    np.testing.assert_array_equal(other.load().saliency, np.abs(tensors["a"]))
    # Marks of variants in the name of a file are not taken for such.
    np.save(tmp_path / "w~5+x.npy", np.eye(8, dtype=np.int8))
    (odd,) = file_instances(tmp_path / "w~5+x.npy")
    assert find_instance(odd.name, tmp_path / "w~5+x.npy").name == odd.name == "w-5-x"
    varied = find_instance(f"{odd.name}~noise50+4:8", tmp_path / "w~5+x.npy")
    assert (varied.name, str(varied.pattern)) == ("w-5-x~noise50+4:8", "4:8")
    assert np.ptp(varied.make() - np.eye(8)) > 0.1
    with pytest.raises(FileFormatError, match="cannot be permuted"):
        file_instances(tmp_path / "model.safetensors", ["b"])
    with pytest.raises(UnknownInstanceError, match=r"no tensor in .*'c'"):
        file_instances(tmp_path / "model.safetensors", ["c"])
    with pytest.raises(FileNotFoundError):
        file_instances(tmp_path / "none.npy")
