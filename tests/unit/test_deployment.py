"""What the owner of a deployment lists is offered, and a bad entry is named."""

from __future__ import annotations

import json
import shutil

import pytest

from models.catalog import deployment, lookup
from models.catalog.checkpoints import NANO
from models.hub import adapters
from models.schema import UserError


@pytest.fixture
def deploy(monkeypatch):
    """Sets the variables, as at the start of a process: `deploy(CHECKPOINTS="…")`."""

    def set_(**variables: str) -> deployment.Deployment:
        for name, value in variables.items():
            monkeypatch.setenv(f"PALIGEMMA_{name}", value)
        deployment.current.cache_clear()
        return deployment.current()

    yield set_
    monkeypatch.undo()
    deployment.current.cache_clear()


@pytest.fixture
def folder(tmp_path):
    own = tmp_path / "my-nano"
    own.mkdir()
    shutil.copy(NANO.path / "config.json", own)
    return own


def change(folder, part=None, **values) -> None:
    """Changes the configuration in a folder; None leaves a value out."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    whole = config if part is None else config[part]
    whole.update(values)
    for name in [name for name, value in values.items() if value is None]:
        del whole[name]
    path.write_text(json.dumps(config))


def test_nothing_listed_leaves_the_built_in_ones(deploy):
    assert deploy() == deployment.Deployment()
    assert len(lookup.checkpoints()) == 19
    assert lookup.default().name == "nano-224"


def test_a_fine_tune_on_the_hub_is_chosen_like_any_other(deploy):
    deploy(CHECKPOINTS="me/my-vqa@v1.0=3b-pt-448", DEFAULT="my-vqa")
    own = lookup.default()
    assert (own.hub_id, own.revision, own.size, own.resolution) == (
        "me/my-vqa", "v1.0", "3B", 448,
    )  # fmt: skip
    assert own.licence_url == "https://huggingface.co/me/my-vqa"
    assert own.parameters == lookup.find("3b-pt-448").parameters
    assert "my-vqa" in lookup.variants("3B")
    assert lookup.resolutions("3B", "my-vqa") == (448,)


def test_a_public_fine_tune_needs_no_token(deploy, backend, monkeypatch):
    deploy(CHECKPOINTS="me/my-nano=nano-224")
    monkeypatch.setattr("models.hub.download.has_token", lambda: False)
    monkeypatch.setattr("models.hub.download.is_offline", lambda: False)
    assert backend.missing("my-nano") is None
    assert "no Hugging Face token" in backend.missing("3b-mix-224")


def test_a_folder_is_local(deploy, folder):
    deploy(CHECKPOINTS=f"{folder}=nano-224,\n me/other=10b-pt-224")
    own = lookup.find("my-nano")
    assert (own.path, own.is_local, own.download_bytes) == (folder, True, 0)
    assert lookup.find("other").size == "10B"


def test_adapters_are_offered_for_their_checkpoint(deploy, folder):
    (folder / "adapter_config.json").write_text("{}")
    deploy(
        CHECKPOINTS="me/my-vqa=3b-pt-448",
        ADAPTERS=f"you/lora@main=my-vqa, {folder}=nano-224",
    )
    assert adapters.names("my-vqa") == ("you/lora",)
    assert adapters.listed("my-vqa")["you/lora"].revision == "main"
    assert "my-nano" in adapters.names("nano-224")
    assert adapters.names("3b-pt-448") == ("merve/paligemma2-3b-vqav2",)


@pytest.mark.parametrize(
    "variables, what",
    [
        ({"CHECKPOINTS": "me/my-vqa"}, "has no '='"),
        ({"CHECKPOINTS": "me/my-vqa=3b-mix-896"}, "'3b-mix-896' is no built-in checkpoint"),
        ({"CHECKPOINTS": "my-vqa=3b-pt-448"}, "neither a Hub id nor a folder's path"),
        ({"CHECKPOINTS": "/no/such/folder=3b-pt-448"}, "there is no folder"),
        ({"CHECKPOINTS": "a/x=3b-pt-448,b/x=3b-pt-448"}, "the name of another"),
        ({"ADAPTERS": "me/lora=3b"}, "there is no '3b'"),
        ({"ADAPTERS": "/tmp=nano-224"}, "no adapter_config.json"),
        ({"ADAPTERS": "me/lora=nano-224,me/lora@v2=nano-224"}, "the name of another"),
        ({"DEFAULT": "3b-mix-896"}, "there is no such checkpoint"),
    ],
)
def test_a_bad_entry_is_an_error_that_names_it(deploy, variables, what):
    with pytest.raises(UserError) as caught:
        deploy(**variables)
    ((name, value),) = variables.items()
    assert f"PALIGEMMA_{name}" in caught.value.problem
    assert what in caught.value.problem
    assert value.split(",")[-1] in caught.value.problem


def test_a_folder_of_another_architecture_is_refused_by_name(deploy, folder):
    with pytest.raises(UserError) as caught:
        deploy(CHECKPOINTS=f"{folder}=3b-pt-448")
    for words in (
        "not of the architecture of 3b-pt-448",
        "resolution 224 px and not 448 px",
        "decoder layers 5 and not 26",
        "vocabulary 9153 and not 257152",
        "patch size 16 and not 14",
        "projection width 256 and not 2304",
    ):
        assert words in caught.value.problem
    (folder / "config.json").write_text("[]")
    with pytest.raises(UserError, match=r"no readable config\.json"):
        deploy(CHECKPOINTS=f"{folder}=nano-224")


@pytest.mark.parametrize(
    "part, values, words",
    [
        ("text_config", {"num_hidden_layers": 6}, "decoder layers 6 and not 5"),
        ("text_config", {"hidden_size": 512}, "decoder width 512 and not 256"),
        ("text_config", {"intermediate_size": None}, "decoder MLP width 9216 and not 1024"),
        ("text_config", {"num_attention_heads": 8}, "decoder heads 8 and not 4"),
        ("text_config", {"num_key_value_heads": 1}, "decoder key heads 1 and not 2"),
        ("text_config", {"head_dim": None}, "decoder head width 256 and not 128"),
        ("text_config", {"query_pre_attn_scalar": 144}, "query scalar 144 and not 128"),
        ("text_config", {"vocab_size": 9217}, "vocabulary 9217 and not 9153"),
        ("text_config", {"model_type": "gemma"}, "it is a PaliGemma 1"),
        ("text_config", {"model_type": None}, "it is a PaliGemma 1"),
        ("text_config", {"model_type": "llama"}, "its decoder is a llama"),
        ("vision_config", {"num_hidden_layers": None}, "vision layers 12 and not 6"),
        ("vision_config", {"hidden_size": 768}, "vision width 768 and not 256"),
        ("vision_config", {"intermediate_size": 768}, "vision MLP width 768 and not 1024"),
        ("vision_config", {"num_attention_heads": 2}, "vision heads 2 and not 4"),
        ("vision_config", {"patch_size": 14}, "patch size 14 and not 16"),
        ("vision_config", {"image_size": 448}, "resolution 448 px and not 224 px"),
        ("vision_config", {"model_type": "clip"}, "its vision tower is a clip"),
        (None, {"projection_dim": None}, "projection width 2048 and not 256"),
        (None, {"text_config": None}, "it is a PaliGemma 1"),
        (None, {"model_type": "llava"}, "it is a llava and not a PaliGemma 2"),
    ],
)
def test_each_difference_of_a_folder_is_named(deploy, folder, part, values, words):
    change(folder, part, **values)
    with pytest.raises(UserError, match=words):
        deploy(CHECKPOINTS=f"{folder}=nano-224")


@pytest.mark.parametrize("vocabulary", [257_152, 257_216])
def test_the_published_configuration_fits_its_own_checkpoint(deploy, tmp_path, vocabulary):
    """What the family's config.json says of the 3B at 224 px, and no more."""
    text = {
        "model_type": "gemma2",
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "num_hidden_layers": 26,
        "num_key_value_heads": 4,
        "query_pre_attn_scalar": 256,
        "vocab_size": vocabulary,
    }
    vision = {
        "model_type": "siglip_vision_model",
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_attention_heads": 16,
        "num_hidden_layers": 27,
        "patch_size": 14,
    }
    config = {"model_type": "paligemma", "projection_dim": 2304, "hidden_size": 2048}
    config |= {"text_config": text, "vision_config": vision}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (own,) = deploy(CHECKPOINTS=f"{tmp_path}=3b-pt-224").checkpoints
    assert own.path == tmp_path
    with pytest.raises(UserError, match="architecture of 10b-pt-224: it has decoder layers 26"):
        deploy(CHECKPOINTS=f"{tmp_path}=10b-pt-224")


@pytest.mark.parametrize(
    "written, name",
    [
        ("Über Modell", "Uber-Modell"),
        ("red, blue", "red-blue"),
        ("Füße", "Fusse"),
        ("a=b,c", "a-b-c"),
        ("x=nano-224,y", "x-nano-224-y"),
        (" (v2)", "v2"),
    ],
)
def test_a_checkpoint_in_a_folder_gets_a_plain_name(folder, written, name):
    renamed = folder.rename(folder.parent / written)
    text = f"{renamed} = nano-448, me/other=3b-pt-224"
    with pytest.raises(UserError, match="resolution 224 px and not 448 px"):
        deployment.read({deployment.CHECKPOINTS: text})
    text = f"me/other=3b-pt-224, {renamed} = nano-224, me/more=3b-pt-448"
    found = deployment.read({deployment.CHECKPOINTS: text}).checkpoints
    assert [each.name for each in found] == ["other", name, "more"]
    assert found[1].path == renamed


def test_a_folder_without_a_latin_letter_is_refused_in_words(folder):
    renamed = folder.rename(folder.parent / "模型")
    with pytest.raises(UserError, match=r"'模型' has no letter of the Latin alphabet.*Rename it"):
        deployment.read({deployment.CHECKPOINTS: f"{renamed}=nano-224"})


def test_an_own_adapter_named_as_a_shipped_one_is_offered_beside_it(deploy, tmp_path):
    own = tmp_path / "easy-vqa"
    own.mkdir()
    (own / "adapter_config.json").write_text("{}")
    deploy(ADAPTERS=f"{own}=nano-224, merve/paligemma2-3b-vqav2=3b-pt-448")
    listed = adapters.listed("nano-224")
    assert listed["easy-vqa"].path == NANO.path / "adapters" / "easy-vqa"
    assert listed["easy-vqa-own"].path == own
    assert adapters.fetch("nano-224", "easy-vqa-own") == own
    assert adapters.names("3b-pt-448") == ("merve/paligemma2-3b-vqav2",)
    (first, second) = deployment.current().adapters
    assert adapters.name_of(first) == "easy-vqa-own"
    assert adapters.name_of(second) == second.name


def test_a_folder_that_is_written_as_a_name_is_recognised(deploy, tmp_path, monkeypatch):
    (tmp_path / "runs" / "mine" / "adapter").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        deploy(ADAPTERS="runs/mine/adapter=nano-224")
    assert caught.value.remedy == "Write ./runs/mine/adapter for the folder."


@pytest.mark.parametrize("name", ["red, blue", "my adapter", "Füße", "a=b"])
def test_a_folder_of_an_adapter_may_have_any_name(name, tmp_path):
    folders = [tmp_path / name, tmp_path / "plain"]
    for folder in folders:
        folder.mkdir()
        (folder / "adapter_config.json").write_text("{}")
    text = ", ".join(f"{folder}=nano-224" for folder in folders)
    found = deployment.read({deployment.ADAPTERS: text}).adapters
    assert [(each.name, each.path) for each in found] == [(each.name, each) for each in folders]


def test_an_own_checkpoint_called_as_a_built_in_one_is_offered_beside_it(deploy):
    (own,) = deploy(CHECKPOINTS="a/nano-224=nano-224").checkpoints
    assert (own.name, own.variant, own.hub_id) == ("nano-224-own", "nano-224-own", "a/nano-224")


@pytest.mark.parametrize("variable", ["CHECKPOINTS", "ADAPTERS"])
@pytest.mark.parametrize(
    "source", ["~no-such-user/folder", "/" + "x" * 5000, "x" * 5000, "", "~/" + "x" * 300]
)
def test_a_source_that_can_be_no_path_is_named(deploy, variable, source):
    with pytest.raises(UserError, match=f"PALIGEMMA_{variable} has a bad entry"):
        deploy(**{variable: f"{source}=nano-224"})


def test_brackets_without_end_are_no_configuration(deploy, folder):
    (folder / "config.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match=r"no readable config\.json"):
        deploy(CHECKPOINTS=f"{folder}=nano-224")
