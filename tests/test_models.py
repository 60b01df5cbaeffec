"""Named models: which there are, which one a name means, what they say of themselves."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from neuroglow.errors import ModelError, OutputError
from neuroglow.network.checkpoint import load_model, save_model
from neuroglow.network.db_enhance import import_model
from neuroglow.network.glownet import GlowNet
from neuroglow.network.model_settings import ModelSettings, NoiseUnitsInput
from neuroglow.network.models import find_model, list_models, show_model, user_folder
from neuroglow.network.voxresnet import VoxResNet


def make(folder, *, halo=8, card=""):
    settings = ModelSettings(
        name=folder.name,
        network="glow",
        arguments={"widths": [2], "blocks": [1]},
        normalisation=NoiseUnitsInput(),
        halo=halo,
        threshold=0.5,
    )
    return save_model(folder, GlowNet(widths=(2,), blocks=(1,)), settings, card=card)


@pytest.fixture
def users(tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROGLOW_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def user_names():
    return [entry.name for entry in list_models() if entry.source == "user"]


def test_a_users_model_is_listed_found_shown_and_loaded_by_name(users):
    make(users / "mine", card="# Mine, for axons")
    [entry] = [entry for entry in list_models() if entry.name == "mine"]
    assert (entry.source, entry.path) == ("user", users / "mine")
    assert entry.summary == "glow, noise_units, halo 8"
    assert find_model("mine") == users / "mine"
    assert load_model("mine").path == users / "mine"
    shown = show_model("mine")
    assert shown.startswith("# Mine, for axons")
    assert '"halo": 8' in shown


def test_every_bundled_model_loads_and_answers(users):
    entries = list_models()
    assert all(entry.source == "bundled" for entry in entries)
    for entry in entries:
        network = load_model(entry.name).network
        with torch.inference_mode():
            assert network(torch.zeros(1, 1, 16, 16, 16)).isfinite().all()


def test_the_users_model_hides_a_bundled_one_of_its_name(users):
    for entry in list_models():
        make(users / entry.name)
        assert find_model(entry.name) == users / entry.name


def test_a_path_is_found_before_a_name(users, tmp_path, monkeypatch):
    make(users / "mine")
    make(tmp_path / "here" / "mine")
    assert find_model(tmp_path / "here" / "mine") == tmp_path / "here" / "mine"
    monkeypatch.chdir(tmp_path / "here")
    assert find_model("mine") == tmp_path / "here" / "mine"


def test_a_path_may_begin_at_home(users, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    make(tmp_path / "elsewhere")
    assert find_model("~/elsewhere") == tmp_path / "elsewhere"
    monkeypatch.setenv("NEUROGLOW_MODELS", "~/models")
    assert user_folder() == tmp_path / "models"
    monkeypatch.delenv("NEUROGLOW_MODELS")
    assert user_folder() == tmp_path / ".local/share/neuroglow/models"


def test_an_unknown_name_brings_the_nearest_and_all(users):
    make(users / "axons-dim")
    make(users / "somata")
    with pytest.raises(ModelError) as caught:
        find_model("axon-dim")
    assert "'axon-dim'" in caught.value.found
    assert "did you mean 'axons-dim'? " in caught.value.cure
    assert "somata" in caught.value.cure


def test_a_checkpoint_in_place_of_a_model_brings_the_way_to_one(users):
    with pytest.raises(ModelError, match="neuroglow models import"):
        find_model("some/best.ckpt")


@pytest.mark.parametrize("name", ["", ".", "../..", "no/such", "a\0b", "x" * 5000, "~nobody/x"])
def test_a_name_that_cannot_be_is_unknown(users, name):
    with pytest.raises(ModelError, match="known"):
        find_model(name)


def test_a_name_does_not_leave_the_folder_of_models(users, tmp_path):
    make(tmp_path / "outside")
    users.mkdir()
    with pytest.raises(ModelError, match="known"):
        find_model("../outside-of-models")
    with pytest.raises(ModelError, match="known"):
        find_model("models/../outside")


def test_a_broken_model_is_listed_as_broken(users):
    make(users / "good")
    (make(users / "bad") / "model.json").write_bytes(b'{"format": 2}')
    summaries = {entry.name: entry.summary for entry in list_models()}
    assert summaries["bad"].startswith("broken: format")
    assert summaries["good"].startswith("glow")
    with pytest.raises(ModelError, match="newer"):
        show_model("bad")


def test_what_is_no_model_is_not_listed(users):
    make(users / ".mine.4711.new")
    make(users / "mine")
    (users / "empty").mkdir()
    (users / "notes.txt").touch()
    assert user_names() == ["mine"]


@pytest.mark.parametrize("kind", ["missing", "a file"])
def test_without_a_folder_of_models_the_list_goes_on(users, kind):
    if kind == "a file":
        users.touch()
    assert user_names() == []


def test_a_card_that_is_no_text_is_shown_all_the_same(users):
    (make(users / "mine") / "card.md").write_bytes(b"caf\xe9")
    assert show_model("mine").startswith("caf\N{REPLACEMENT CHARACTER}")


def test_an_imported_model_is_found_by_name_and_not_overwritten(users, tmp_path):
    network = VoxResNet()
    torch.save({"epoch": 1, "state_dict": network.state_dict()}, tmp_path / "best.ckpt")
    import_model(tmp_path / "best.ckpt", users / "lab")
    assert load_model("lab").settings.network == "voxresnet"
    before = (users / "lab/weights.safetensors").read_bytes()
    with pytest.raises(OutputError, match="not overwritten"):
        import_model(tmp_path / "none.ckpt", users / "lab")
    assert (users / "lab/weights.safetensors").read_bytes() == before


def test_to_list_find_and_show_takes_no_torch(users):
    make(users / "mine")
    code = (
        "from neuroglow.network.models import find_model, list_models, show_model\n"
        "import sys; print(len(list_models()), find_model('mine'), len(show_model('mine')))\n"
        "assert not {'torch', 'safetensors'} & set(sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert str(Path("models/mine")) in run.stdout
