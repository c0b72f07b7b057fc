"""Downloads by the real huggingface_hub from a Hub on loopback, and every failure in words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from evaluation.load import interleave
from models.catalog.checkpoints import NANO
from models.generate import main
from tests.stand_in_hub import STRANGER, TOKEN, Hub, Repository, stand_in_hub

ROOT = Path(__file__).parents[2]
REPO = "google/paligemma2-3b-mix-224"
FETCH = """
import sys
from models.hub import download
from models.schema import UserError
try:
    folder = download.fetch(sys.argv[1], print, revision=sys.argv[2] or None)
except UserError as error:
    sys.exit(str(error))
print(folder)
"""


@pytest.fixture
def run(tmp_path):
    """Runs Python with a Hub and a cache of its own: `run(hub, arguments, **environment)`."""

    def start(hub: Hub, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "PALIGEMMA_"))}
        own = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=kept | own | variables,
            capture_output=True,
            text=True,
        )

    return start


def test_a_checkpoint_is_downloaded_and_answers_like_the_one_at_hand(
    run, nano_checkpoint, backend, capsys
):
    codec = NANO.codec.read_bytes()
    own = Repository.of(nano_checkpoint)
    own.files["mask_codec.safetensors"] = codec
    picture = str(ROOT / "examples" / "caption.png")
    ask = ("-m", "models.generate", "--image", picture, "--prompt", "caption en", "--json")
    with stand_in_hub({"me/tuned": own}) as hub:
        listed = {"PALIGEMMA_CHECKPOINTS": "me/tuned@main=nano-224"}
        first = run(hub, *ask, "--checkpoint", "tuned", **listed)
        calls = len(hub.asked)
        offline = run(hub, *ask, "--checkpoint", "tuned", HF_HUB_OFFLINE="1", **listed)
        assert len(hub.asked) == calls
    assert first.returncode == 0, first.stderr
    assert main([*ask[2:], "--checkpoint", "nano-224"], backend) == 0
    said = (first.stdout, offline.stdout, capsys.readouterr().out)
    texts = [json.loads(each)["text"] for each in said]
    assert texts[0] == texts[1] == texts[2] != ""


@pytest.mark.parametrize(
    "options, repo, revision, token, said",
    [
        ({"gated": True}, REPO, "", "", "needs a Hugging Face token and none is set"),
        ({"gated": True}, REPO, "", STRANGER, "The licence of"),
        ({"gated": True}, REPO, "", "hf_" + "c" * 34, "did not accept the token"),
        ({}, REPO, "v9", TOKEN, "has no such revision"),
        ({}, "google/paligemma3", "", TOKEN, "google/paligemma3"),
        ({"mood": "busy"}, REPO, "", TOKEN, "too many requests"),
        ({"mood": "broken"}, REPO, "", TOKEN, "interrupted"),
    ],
    ids=["no token", "no licence", "bad token", "revision", "name", "rate limit", "server"],
)
def test_each_failure_has_its_sentence(run, options, repo, revision, token, said):
    served = {REPO: Repository({"config.json": b"{}", "model.safetensors": b"x"}, **options)}
    variables = {"HF_TOKEN": token} if token else {}
    with stand_in_hub(served) as hub:
        found = run(hub, "-c", FETCH, repo, revision, **variables)
    assert found.returncode == 1
    last = found.stderr.strip().splitlines()[-1]
    assert said in last
    assert not token or token not in found.stdout + found.stderr


def test_a_licence_that_was_accepted_opens_the_repository(run):
    served = {REPO: Repository({"config.json": b"{}", "model.safetensors": b"x"}, gated=True)}
    with stand_in_hub(served) as hub:
        found = run(hub, "-c", FETCH, REPO, "", HF_TOKEN=TOKEN)
    assert found.returncode == 0, found.stderr
    assert (Path(found.stdout.strip().splitlines()[-1]) / "model.safetensors").is_file()


def test_a_hub_that_is_not_there_is_said(run):
    with stand_in_hub({}) as hub:
        pass
    found = run(hub, "-c", FETCH, REPO, "")
    assert "could not be reached" in found.stderr


def test_a_download_that_is_cut_off_goes_on(run):
    weights = os.urandom(400_000)
    served = {REPO: Repository({"config.json": b"{}", "model.safetensors": weights}, mood="cut")}
    with stand_in_hub(served) as hub:
        tries = [run(hub, "-c", FETCH, REPO, "", HF_TOKEN=TOKEN) for _ in range(3)]
    whole = [each for each in tries if each.returncode == 0]
    assert whole, tries[-1].stderr
    folder = Path(whole[0].stdout.strip().splitlines()[-1])
    assert (folder / "model.safetensors").read_bytes() == weights


def test_damaged_weights_are_refused_and_fetched_anew(run):
    weights = os.urandom(100_000)
    served = Repository({"config.json": b"{}", "model.safetensors": weights}, mood="damaged")
    with stand_in_hub({REPO: served}) as hub:
        damaged = run(hub, "-c", FETCH, REPO, "")
        served.mood = ""
        whole = run(hub, "-c", FETCH, REPO, "")
    assert "model.safetensors of google/paligemma2-3b-mix-224 arrived damaged" in damaged.stderr
    assert whole.returncode == 0, whole.stderr
    folder = Path(whole.stdout.strip().splitlines()[-1])
    assert (folder / "model.safetensors").read_bytes() == weights


CODEC = """
import sys
from models.hub import download
from models.schema import UserError
try:
    file = download.fetch_codec(print)
except UserError as error:
    sys.exit(str(error))
from models.masks.codec import MaskCodec
print(MaskCodec.load(file).codebook.shape)
"""


def test_the_mask_decoder_is_fetched_from_its_space_and_checked(run, nano_checkpoint, tmp_path):
    tensors = load_file(NANO.codec)
    np.savez(tmp_path / "vae-oid.npz", **{name: each.numpy() for name, each in tensors.items()})
    served = Repository({"vae-oid.npz": (tmp_path / "vae-oid.npz").read_bytes()}, mood="damaged")
    with stand_in_hub({"google/paligemma-hf": served}) as hub:
        damaged = run(hub, "-c", CODEC)
        served.mood = ""
        whole = run(hub, "-c", CODEC)
    assert "vae-oid.npz of google/paligemma-hf arrived damaged" in damaged.stderr
    assert "torch.Size([128, 512])" in whole.stdout, whole.stderr


@pytest.mark.slow
def test_an_adapter_that_a_visitor_names_is_read_without_the_token(run, tmp_path):
    interleave.make_adapters(tmp_path)
    files = {each.name: each.read_bytes() for each in (tmp_path / "first").iterdir()}
    served = {"someone/lora": Repository(files), "me/secret": Repository(files, gated=True)}
    line = {"image": str(ROOT / "examples" / "caption.png"), "prompt": "caption en"}
    line["max_new_tokens"] = 4
    lines = [line | {"adapter": each} for each in (None, "someone/lora", "me/secret")]
    file = tmp_path / "requests.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    ask = ("-m", "models.generate", "--jsonl", str(file))
    with stand_in_hub(served) as hub:
        refused = run(hub, *ask, HF_TOKEN=TOKEN)
        assert not hub.asked
        allowed = run(hub, *ask, PALIGEMMA_ANY_ADAPTER="1", HF_TOKEN=TOKEN)
    _, *others = map(json.loads, refused.stdout.splitlines())
    assert all("has no adapter" in each["error"] for each in others)
    plain, adapted, secret = map(json.loads, allowed.stdout.splitlines())
    assert plain["text"] != adapted["text"]
    assert "me/secret is no public repository" in secret["error"]
    assert hub.asked and {sent for _, _, sent in hub.asked} == {None}


@pytest.mark.slow
def test_a_fine_tune_is_pushed_and_answers_from_there(run, tmp_path):
    """Trained for a step, put on the Hub, and used by another machine under its id."""
    out = tmp_path / "run"
    tune = ("-m", "training.finetune", "--data", "easy-vqa", "--limit", "2", "--batch", "2")
    tune += ("--max_steps", "1", "--rank", "2", "--out", str(out), "--push", "me/shapes")
    with stand_in_hub({}) as hub:
        pushed = run(hub, *tune, HF_TOKEN=TOKEN)
        assert pushed.returncode == 0, pushed.stderr
        assert hub.private == {"me/shapes": True}
        files = hub.taken["me/shapes"]
    assert files.keys() == {"README.md", "adapter_config.json", "adapter_model.safetensors"}
    assert (
        files["adapter_model.safetensors"]
        == (out / "adapter" / "adapter_model.safetensors").read_bytes()
    )
    picture = str(ROOT / "examples" / "caption.png")
    request = json.dumps({"image": picture, "prompt": "answer en what?", "adapter": "me/shapes"})
    (tmp_path / "requests.jsonl").write_text(request)
    with stand_in_hub({"me/shapes": Repository(files)}) as hub:
        ask = ("-m", "models.generate", "--jsonl", str(tmp_path / "requests.jsonl"))
        answered = run(hub, *ask, PALIGEMMA_ADAPTERS="me/shapes=nano-224")
    assert answered.returncode == 0, answered.stdout + answered.stderr
    assert json.loads(answered.stdout)["text"]


@pytest.mark.slow
@pytest.mark.parametrize("token", ["", STRANGER])
def test_a_push_that_nobody_may_make_is_refused_before_training(run, tmp_path, token):
    tune = ("-m", "training.finetune", "--out", str(tmp_path / "run"), "--push", "me/shapes")
    with stand_in_hub({}) as hub:
        refused = run(hub, *tune, **({"HF_TOKEN": token} if token else {}))
    assert refused.returncode == 2
    assert "HF_TOKEN" in refused.stderr
    assert not (tmp_path / "run").exists()
