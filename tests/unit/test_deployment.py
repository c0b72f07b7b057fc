"""What the owner of a deployment lists is offered, and a bad entry is named."""

from __future__ import annotations

import json
import shutil

import pytest

from models.catalog.adapter import ANNOUNCED
from models.catalog.catalog import Catalog
from models.catalog.checkpoints import BUILT_IN, NANO
from models.hub import adapters
from models.schema import UserError
from models.serving.local_backend import LocalBackend


def deploy(**variables: str) -> Catalog:
    """The catalog of a process with these variables: `deploy(CHECKPOINTS="…")`."""
    return Catalog.from_environment({f"PALIGEMMA_{name}": text for name, text in variables.items()})


def own(catalog: Catalog) -> list:
    """The checkpoints that the variables add."""
    return list(catalog.checkpoints[len(BUILT_IN) :])


def names(catalog: Catalog, checkpoint: str) -> list[str]:
    """The names of a checkpoint's adapters."""
    return [each.name for each in catalog.adapters_of(catalog.find(checkpoint))]


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


def test_nothing_listed_leaves_the_built_in_ones():
    assert deploy() == Catalog()
    assert Catalog().checkpoints == BUILT_IN and len(BUILT_IN) == 19
    assert Catalog().default_checkpoint.name == "nano-224"


def test_a_fine_tune_on_the_hub_is_chosen_like_any_other():
    catalog = deploy(CHECKPOINTS="me/my-vqa@v1.0=3b-pt-448", DEFAULT="my-vqa")
    own = catalog.default_checkpoint
    assert (own.hub_id, own.revision, own.size, own.resolution) == (
        "me/my-vqa", "v1.0", "3B", 448,
    )  # fmt: skip
    assert own.licence_url == "https://huggingface.co/me/my-vqa"
    assert own.parameters == catalog.find("3b-pt-448").parameters
    assert "my-vqa" in catalog.variants("3B")
    assert catalog.resolutions("3B", "my-vqa") == (448,)


def test_a_public_fine_tune_needs_no_token(monkeypatch):
    backend = LocalBackend(deploy(CHECKPOINTS="me/my-nano=nano-224"))
    monkeypatch.setattr("models.hub.download.has_token", lambda: False)
    monkeypatch.setattr("models.hub.download.is_offline", lambda: False)
    assert backend.missing("my-nano") is None
    assert "no Hugging Face token" in backend.missing("3b-mix-224")


def test_a_folder_is_local(folder):
    catalog = deploy(CHECKPOINTS=f"{folder}=nano-224,\n me/other=10b-pt-224")
    own = catalog.find("my-nano")
    assert (own.path, own.is_local, own.download_bytes) == (folder, True, 0)
    assert catalog.find("other").size == "10B"


def test_adapters_are_offered_for_their_checkpoint(folder):
    (folder / "adapter_config.json").write_text("{}")
    catalog = deploy(
        CHECKPOINTS="me/my-vqa=3b-pt-448",
        ADAPTERS=f"you/lora@main=my-vqa, {folder}=nano-224",
    )
    assert names(catalog, "my-vqa") == ["you/lora"]
    assert catalog.find_adapter(catalog.find("my-vqa"), "you/lora").revision == "main"
    assert "my-nano" in names(catalog, "nano-224")
    assert names(catalog, "3b-pt-448") == ["merve/paligemma2-3b-vqav2"]


@pytest.mark.parametrize("text, is_on", [("1", True), ("True", True), ("0", False), ("", False)])
def test_what_visitors_may_is_switched_on(text, is_on):
    catalog = deploy(ANY_ADAPTER=text, METRICS=text)
    assert (catalog.any_adapter, catalog.metrics) == (is_on, is_on)


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
        ({"METRICS": "yes"}, "neither 1 nor 0"),
    ],
)
def test_a_bad_entry_is_an_error_that_names_it(variables, what):
    with pytest.raises(UserError) as caught:
        deploy(**variables)
    ((name, value),) = variables.items()
    assert f"PALIGEMMA_{name}" in caught.value.problem
    assert what in caught.value.problem
    assert value.split(",")[-1] in caught.value.problem


def test_a_folder_of_another_architecture_is_refused_by_name(folder):
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
def test_each_difference_of_a_folder_is_named(folder, part, values, words):
    change(folder, part, **values)
    with pytest.raises(UserError, match=words):
        deploy(CHECKPOINTS=f"{folder}=nano-224")


@pytest.mark.parametrize("vocabulary", [257_152, 257_216])
def test_the_published_configuration_fits_its_own_checkpoint(tmp_path, vocabulary):
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
    (found,) = own(deploy(CHECKPOINTS=f"{tmp_path}=3b-pt-224"))
    assert found.path == tmp_path
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
        deploy(CHECKPOINTS=text)
    text = f"me/other=3b-pt-224, {renamed} = nano-224, me/more=3b-pt-448"
    found = own(deploy(CHECKPOINTS=text))
    assert [each.name for each in found] == ["other", name, "more"]
    assert found[1].path == renamed


def test_a_folder_without_a_latin_letter_is_refused_in_words(folder):
    renamed = folder.rename(folder.parent / "模型")
    with pytest.raises(UserError, match=r"'模型' has no letter of the Latin alphabet.*Rename it"):
        deploy(CHECKPOINTS=f"{renamed}=nano-224")


def test_an_own_adapter_named_as_a_shipped_one_is_offered_beside_it(tmp_path):
    own = tmp_path / "easy-vqa"
    own.mkdir()
    (own / "adapter_config.json").write_text("{}")
    catalog = deploy(ADAPTERS=f"{own}=nano-224, merve/paligemma2-3b-vqav2=3b-pt-448")
    shipped, added = (catalog.find_adapter(NANO, name) for name in ("easy-vqa", "easy-vqa-own"))
    assert adapters.fetch(shipped) == NANO.path / "adapters" / "easy-vqa"
    assert adapters.fetch(added) == own
    assert names(catalog, "3b-pt-448") == ["merve/paligemma2-3b-vqav2"]


def test_what_is_added_by_hand_is_offered_and_leaves_the_catalog_as_it_was(folder):
    (folder / "adapter_config.json").write_text("{}")
    catalog, checkpoint = Catalog().with_checkpoint(str(folder), "nano-224")
    assert catalog.find("my-nano") == checkpoint and checkpoint.path == folder
    catalog, adapter = catalog.with_adapter(str(folder), checkpoint)
    assert (adapter.name, adapter.path) == ("my-nano", folder)
    assert adapter in catalog.adapters_of(checkpoint)
    again, same = catalog.with_adapter(str(folder), checkpoint)
    assert same == adapter and names(again, "my-nano") == ["my-nano"]
    assert Catalog().checkpoints == BUILT_IN and Catalog().adapters == (ANNOUNCED,)


def test_what_cannot_be_added_by_hand_is_named_without_a_variable(folder):
    for add in (
        lambda: Catalog().with_adapter(str(folder), NANO),
        lambda: Catalog().with_checkpoint(str(folder), "3b-pt-448"),
        lambda: Catalog().with_checkpoint(str(folder), "nano-1000"),
    ):
        with pytest.raises(UserError, match=f"^{folder} cannot be used: ") as caught:
            add()
        assert "PALIGEMMA" not in str(caught.value)


def test_a_folder_that_is_written_as_a_name_is_recognised(tmp_path, monkeypatch):
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
    found = deploy(ADAPTERS=text).adapters[1:]
    assert [(each.name, each.path) for each in found] == [(each.name, each) for each in folders]


def test_an_own_checkpoint_called_as_a_built_in_one_is_offered_beside_it():
    (found,) = own(deploy(CHECKPOINTS="a/nano-224=nano-224"))
    assert (found.name, found.variant, found.hub_id) == (
        "nano-224-own",
        "nano-224-own",
        "a/nano-224",
    )


@pytest.mark.parametrize("variable", ["CHECKPOINTS", "ADAPTERS"])
@pytest.mark.parametrize(
    "source", ["~no-such-user/folder", "/" + "x" * 5000, "x" * 5000, "", "~/" + "x" * 300]
)
def test_a_source_that_can_be_no_path_is_named(variable, source):
    with pytest.raises(UserError, match=f"PALIGEMMA_{variable} has a bad entry"):
        deploy(**{variable: f"{source}=nano-224"})


def test_brackets_without_end_are_no_configuration(folder):
    (folder / "config.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match=r"no readable config\.json"):
        deploy(CHECKPOINTS=f"{folder}=nano-224")
