"""What the owner of a deployment lists is offered, and a bad entry is named."""

from __future__ import annotations

import json

import pytest

from models.catalog import deployment, lookup
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
    (own / "config.json").write_text(
        json.dumps({"model_type": "paligemma", "vision_config": {"image_size": 224}})
    )
    return own


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


def test_a_folder_of_another_resolution_is_refused(deploy, folder):
    with pytest.raises(UserError, match="224 px and not a paligemma at 448 px"):
        deploy(CHECKPOINTS=f"{folder}=3b-pt-448")
    (folder / "config.json").write_text("[]")
    with pytest.raises(UserError, match=r"no readable config\.json"):
        deploy(CHECKPOINTS=f"{folder}=nano-224")


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
