"""DB-Enhance's checkpoints: their networks come over whole; nothing in them is executed."""

import io
import os

import pytest
import torch
from torch import nn

from neuroglow.errors import ModelError
from neuroglow.network.checkpoint import load_model
from neuroglow.network.db_enhance import import_db_enhance
from neuroglow.network.model_settings import FixedInput
from neuroglow.network.voxresnet import VoxResNet
from test_checkpoint import answer, randomised, same_tensors


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Networks on as few voxels as these only lose by a second thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def saved(content, *, legacy=False):
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=not legacy)
    return stream.getvalue()


@pytest.fixture(scope="module")
def voxresnet():
    return randomised(VoxResNet())


@pytest.fixture(scope="module")
def expected(voxresnet):
    return answer(voxresnet)


@pytest.fixture(scope="module")
def checkpoint(voxresnet):
    """What DB-Enhance's training loop saves."""
    parallel = nn.DataParallel(voxresnet)
    optimizer = torch.optim.SGD(parallel.parameters(), lr=0.1, momentum=0.9)
    return {"epoch": 3, "state_dict": parallel.state_dict(), "optimizer": optimizer.state_dict()}


def from_gpu(checkpoint):
    """Make what a machine with a GPU wrote: PyTorch 0.4's format, tensors of cuda:0."""
    content = saved(checkpoint, legacy=True)
    for here, there in (
        (b"ctorch\nFloatStorage\n", b"ctorch.cuda\nFloatStorage\n"),
        (b"ctorch\nLongStorage\n", b"ctorch.cuda\nLongStorage\n"),
        (b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"),
    ):
        assert here in content
        content = content.replace(here, there)
    return content


def without_counters(checkpoint):
    state = checkpoint["state_dict"].items()
    kept = {k: v for k, v in state if not k.endswith("num_batches_tracked")}
    return {**checkpoint, "state_dict": kept}


def without_prefix(checkpoint):
    state = {k.removeprefix("module."): v for k, v in checkpoint["state_dict"].items()}
    return {**checkpoint, "state_dict": state}


KINDS = {
    "zip": saved,
    "PyTorch 0.4": lambda c: saved(c, legacy=True),
    "PyTorch 0.4, on a GPU": from_gpu,
    "without module.": lambda c: saved(without_prefix(c)),
    "before PyTorch 0.4.1": lambda c: saved(without_counters(c), legacy=True),
    "tensors alone": lambda c: saved(c["state_dict"]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_db_enhance_checkpoint_gives_the_outputs_of_its_network(
    tmp_path, voxresnet, expected, checkpoint, kind
):
    path = tmp_path / "best.ckpt"
    path.write_bytes(KINDS[kind](checkpoint))
    model = load_model(import_db_enhance(path, tmp_path / "imported"))
    assert same_tensors(model.network, voxresnet)
    assert torch.equal(answer(model.network), expected)
    settings = model.settings
    assert settings.normalisation == FixedInput(low=0, high=1500, mean=168.5, std=500)
    assert (settings.network, settings.halo, settings.threshold) == ("voxresnet", 24, 0.5)
    assert "best.ckpt" in settings.description


class Hostile:
    """Leaves a canary where it is unpickled by something that executes."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("place", ["all", "state_dict", "optimizer", "epoch"])
def test_a_hostile_pickle_is_refused_and_not_executed(tmp_path, place, legacy):
    canary = tmp_path / "canary"
    for hostile in (
        Hostile(os.system, f"echo > {canary}"),
        Hostile(eval, f"open({str(canary)!r}, 'w').close()"),
        Hostile(os.mkdir, str(canary)),
    ):
        content = (
            hostile
            if place == "all"
            else {"state_dict": {"conv1.bias": torch.zeros(32)}, place: hostile}
        )
        path = tmp_path / "hostile.ckpt"
        path.write_bytes(saved(content, legacy=legacy))
        with pytest.raises(ModelError, match=r"asks for '.+'; it was not executed") as caught:
            import_db_enhance(path, tmp_path / "out")
        assert caught.value.where == str(path)
    assert [p.name for p in tmp_path.iterdir()] == ["hostile.ckpt"]


def test_the_hostile_pickle_is_a_real_one(tmp_path):
    canary = tmp_path / "canary"
    torch.load(io.BytesIO(saved(Hostile(os.mkdir, str(canary)))), weights_only=False)
    assert canary.exists()


def scrambled(size):
    return bytes(torch.randint(256, (size,), generator=torch.Generator().manual_seed(size)))


BAD_FILES = {
    "empty": b"",
    "random": scrambled(1000),
    "random like a zip": b"PK\x03\x04" + scrambled(1000),
    "text": b"hello world, this is no checkpoint",
    "a page": b"<!DOCTYPE html><html>not found</html>",
    "a number": saved(3),
    "a list": saved([torch.zeros(1)], legacy=True),
    "no mapping under state_dict": saved({"state_dict": [1, 2]}),
}


@pytest.mark.parametrize("fault", BAD_FILES)
def test_what_is_no_checkpoint_is_refused(tmp_path, fault):
    path = tmp_path / "bad.ckpt"
    path.write_bytes(BAD_FILES[fault])
    with pytest.raises(ModelError, match="must be a DB-Enhance checkpoint") as caught:
        import_db_enhance(path, tmp_path / "out")
    assert caught.value.where == str(path)
    assert "weights_only" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.9999])
def test_a_truncated_checkpoint_is_refused(tmp_path, checkpoint, legacy, share):
    content = saved(checkpoint, legacy=legacy)
    path = tmp_path / "cut.ckpt"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ModelError) as caught:
        import_db_enhance(path, tmp_path / "out")
    assert caught.value.where == str(path)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"module.conv1.bias": None}, "no tensor 'conv1.bias'"),
        ({"module.conv1.bias": torch.zeros(31)}, r"'conv1.bias' of shape \(31,\), not \(32,\)"),
        ({"module.conv1.bias": torch.full((32,), torch.nan)}, "'conv1.bias' contains values"),
        ({"module.conv1.bias": torch.ones(32).to_sparse()}, "sparse"),
        ({"module.conv1.bias": torch.ones(32, device="meta")}, "'conv1.bias' of"),
        ({"module.conv1.bias": "bias"}, "'conv1.bias' is a str, not a tensor"),
        ({"module.conv9.bias": torch.zeros(1)}, "unknown tensor 'conv9.bias'"),
        ({3: torch.zeros(1)}, "unknown tensor '3'"),
    ],
)
def test_a_checkpoint_of_another_network_is_refused(tmp_path, checkpoint, change, said):
    state = {k: v for k, v in {**checkpoint["state_dict"], **change}.items() if v is not None}
    path = tmp_path / "other.ckpt"
    path.write_bytes(saved({"state_dict": state}))
    with pytest.raises(ModelError, match=said) as caught:
        import_db_enhance(path, tmp_path / "out")
    assert caught.value.where == str(path)
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_without_tensors_is_refused(tmp_path):
    (tmp_path / "log.ckpt").write_bytes(saved({"epoch": 1}))
    with pytest.raises(ModelError, match=r"no tensor 'conv1.weight'.* more faults"):
        import_db_enhance(tmp_path / "log.ckpt", tmp_path / "out")


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"no file\n.*none\.ckpt"):
        import_db_enhance(tmp_path / "none.ckpt", tmp_path / "out")
