"""A folder that is not a whole PaliGemma 2 is refused by name, in one sentence with a remedy."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PaliGemmaForConditionalGeneration

from models.catalog.checkpoints import NANO
from models.engine.engine import Engine
from models.loading.checkpoint_files import INDEX, WEIGHTS, explained
from models.loading.loader import local_folder, quantization, read_model
from models.loading.precision import resolve_precision
from models.schema import UserError
from tests.choosing import load

CPU = torch.device("cpu")
SHARDED = "model-00001-of-00003.safetensors"
UP = "language_model.model.layers.2.mlp.up_proj.weight"


@pytest.fixture
def folder(tmp_path):
    """A copy of nano in one file of weights."""
    weights = {}
    for shard in sorted(NANO.path.glob("model-*.safetensors")):
        weights |= load_file(shard)
    found = _copied(tmp_path / "copy", "*.json")
    (found / INDEX).unlink()
    save_file(weights, found / WEIGHTS, {"format": "pt"})
    return found


@pytest.fixture
def sharded(tmp_path):
    """A copy of nano in three files."""
    return _copied(tmp_path / "copy", "*.json", "model-*.safetensors")


def _copied(folder, *patterns):
    folder.mkdir()
    for pattern in patterns:
        for file in NANO.path.glob(pattern):
            shutil.copyfile(file, folder / file.name)
    return folder


def _edit(file, change):
    content = json.loads(file.read_text("utf-8"))
    change(content)
    file.write_text(json.dumps(content))


def _edit_weights(folder, change):
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS, {"format": "pt"})


def _load(folder, precision="bf16"):
    checkpoint = dataclasses.replace(NANO, name="copy", path=folder)
    return read_model(local_folder(checkpoint), precision, CPU)


def _refused(folder, precision="bf16"):
    with pytest.raises(UserError) as caught:
        _load(folder, precision)
    assert caught.value.remedy
    assert "\n" not in str(caught.value)
    assert "ignore_mismatched_sizes" not in str(caught.value)
    return str(caught.value)


def _rename(weights, name):
    for key in [key for key in weights if key.startswith("language_model.")]:
        weights[name(key)] = weights.pop(key)


@pytest.mark.parametrize("precision", ["bf16", "nf4", "int8"])
def test_a_missing_weight_is_named(folder, precision):
    _edit_weights(folder, lambda weights: weights.pop(UP))
    assert "lacks model.language_model.layers.2.mlp.up_proj.weight" in _refused(folder, precision)


def test_too_few_layers_are_refused(folder):
    def more(config):
        config["text_config"] |= {"num_hidden_layers": 6, "layer_types": ["full_attention"] * 6}

    _edit(folder / "config.json", more)
    said = _refused(folder)
    assert "lacks model.language_model.layers.5." in said
    assert "and 8 more" in said


def test_too_many_layers_are_refused(folder):
    def fewer(config):
        config["text_config"] |= {"num_hidden_layers": 4, "layer_types": ["full_attention"] * 4}

    _edit(folder / "config.json", fewer)
    assert "unknown weights" in _refused(folder)


def test_text_under_other_names_is_refused(folder):
    _edit_weights(folder, lambda weights: _rename(weights, lambda key: f"decoder.{key}"))
    said = _refused(folder)
    assert "lacks " in said and "unknown weights, decoder." in said


@pytest.mark.parametrize("precision", ["bf16", "nf4"])
def test_weights_of_another_shape_are_named(folder, precision):
    _edit(folder / "config.json", lambda config: config["text_config"].update(intermediate_size=96))
    assert "another shape" in _refused(folder, precision)


@pytest.mark.parametrize("layout", ["published", "transformers 5"])
@pytest.mark.parametrize("precision", ["fp32", "int8", "nf4"])
def test_known_layouts_and_a_copy_of_the_tied_head_load(folder, layout, precision):
    def change(weights):
        head = weights["language_model.model.embed_tokens.weight"].clone()
        if layout == "published":
            for key in [key for key in weights if key.startswith("vision_tower.")]:
                rest = key.removeprefix("vision_tower.").removeprefix("vision_model.")
                weights[f"vision_tower.vision_model.{rest}"] = weights.pop(key)
            weights["language_model.lm_head.weight"] = head
        else:
            for key in list(weights):
                short = key.replace("language_model.model.", "language_model.")
                weights[f"model.{short}"] = weights.pop(key)
            weights["lm_head.weight"] = head

    _edit_weights(folder, change)
    model = _load(folder, precision)
    whole = read_model(NANO.path, precision, CPU)
    for (name, found), (_, due) in zip(
        model.named_parameters(), whole.named_parameters(), strict=True
    ):
        assert torch.equal(found, due), name


@pytest.mark.parametrize("size", [4, 1000, -1])
def test_a_shard_that_is_cut_short_is_named(sharded, size):
    content = (sharded / SHARDED).read_bytes()
    (sharded / SHARDED).write_bytes(content[:size])
    assert f"{SHARDED} of copy is cut short or damaged" in _refused(sharded)


def test_a_shard_that_is_missing_is_named(sharded):
    (sharded / SHARDED).unlink()
    assert f"lacks {SHARDED}" in _refused(sharded)


def test_a_stray_file_beside_the_shards_is_refused(sharded):
    shutil.copyfile(sharded / SHARDED, sharded / WEIGHTS)
    assert "only one can be right" in _refused(sharded)


def test_an_index_of_an_older_save_is_refused(folder):
    shutil.copyfile(NANO.path / INDEX, folder / INDEX)
    said = _refused(folder)
    assert SHARDED in said and "Delete the index" in said


def test_an_index_that_names_weights_that_are_not_there_is_refused_by_what_is_missing(sharded):
    file = sharded / SHARDED
    weights = load_file(file)
    gone = sorted(weights)[-1]
    del weights[gone]
    save_file(weights, file, {"format": "pt"})
    assert "lacks model." in _refused(sharded)


@pytest.mark.parametrize("size", [10, 300_000])
def test_a_top_level_vocabulary_does_not_count(folder, size):
    _edit(folder / "config.json", lambda config: config.update(vocab_size=size))
    assert _load(folder).get_input_embeddings().num_embeddings == 9153


@pytest.mark.parametrize(
    "file, said",
    [
        ("tokenizer.json", "has no tokenizer"),
        ("processor_config.json", "has no image processor"),
        ("config.json", "no readable config.json"),
        (WEIGHTS, "weights of copy are missing"),
    ],
)
def test_a_file_that_is_missing_is_named(folder, file, said):
    (folder / file).unlink()
    assert said in _refused(folder)


def test_a_configuration_that_is_no_json_is_said(folder):
    (folder / "config.json").write_text("{")
    assert "no readable config.json" in _refused(folder)


@pytest.mark.parametrize(
    "change, said",
    [
        ({"model_type": "llava"}, "is a llava, not a PaliGemma 2"),
        ({"text_config": {"model_type": "gemma"}}, "is a PaliGemma 1"),
        ({"text_config": {"hidden_size": 9}}, "is a PaliGemma 1"),
        ({"quantization": {"bits": 4}}, "MLX form"),
        ({"quantization_config": {"quant_method": "gptq"}}, "GPTQ form"),
        ({"quantization_config": {"quant_method": "awq"}}, "AWQ form"),
        ({"quantization_config": {"quant_method": "torchao"}}, "torchao form"),
        ({"quantization_config": {"bits": 4}}, "UNKNOWN form"),
        (
            {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
            "quantized to fp4",
        ),
    ],
)
def test_what_is_not_read_here_is_refused_by_name(folder, change, said):
    _edit(folder / "config.json", lambda config: config.update(change))
    assert said in _refused(folder)


def test_weights_written_by_mlx_are_refused(folder):
    save_file(load_file(folder / WEIGHTS), folder / WEIGHTS, {"format": "mlx"})
    assert "MLX form" in _refused(folder)


@pytest.mark.parametrize("precision, other", [("nf4", "int8"), ("int8", "nf4")])
def test_a_saved_quantized_checkpoint_answers_in_its_own_precision_alone(
    tmp_path, precision, other, nano, ask, run_all
):
    saved = PaliGemmaForConditionalGeneration.from_pretrained(
        NANO.path,
        dtype=torch.bfloat16,
        device_map={"": CPU},
        quantization_config=quantization(precision, torch.bfloat16),
    )
    folder = _copied(tmp_path / "copy", "*.json")
    (folder / INDEX).unlink()
    saved.save_pretrained(folder)
    assert (folder / WEIGHTS).is_file()
    own = dataclasses.replace(NANO, name="copy", path=folder)
    assert resolve_precision(own, "auto", CPU) == precision
    for wrong in ("bf16", "fp32", other):
        with pytest.raises(UserError, match=f"saved in {precision} and cannot be had in {wrong}"):
            resolve_precision(own, wrong, CPU)
        assert f"saved in {precision}" in _refused(folder, wrong)
    texts = [
        run_all(
            Engine(
                dataclasses.replace(
                    nano, model=model.eval().requires_grad_(False), dtype=torch.bfloat16
                )
            ),
            [ask("caption en"), ask("detect circle")],
        )
        for model in (_load(folder, precision), read_model(NANO.path, precision, CPU))
    ]
    assert texts[0] == texts[1]
    assert all(texts[0])


def test_brackets_without_end_are_refused(sharded):
    for file in (INDEX, "config.json"):
        (sharded / file).write_text("[" * 100_000)
        assert f"no readable {file}" in _refused(sharded)


def test_an_index_names_files_by_texts(sharded):
    _edit(sharded / INDEX, lambda index: index["weight_map"].update({UP: None}))
    assert "None" not in _refused(sharded)


def test_a_librarys_error_shows_no_folder_of_the_machine():
    said = "Can't load it for '/srv/secret/copy', see https://example.org/models/help"
    with pytest.raises(UserError) as caught, explained("copy", "processor"):
        raise OSError(said)
    assert "'copy', see https://example.org/models/help" in str(caught.value)


def _taller(config):
    config["image_processor"]["size"] = {"height": 448, "width": 448}


def _longer(config):
    config["image_processor"]["image_seq_length"] = 100


def _without_a_mean(config):
    config["image_processor"]["image_mean"] = [0.5, 0.5]


def _unknown_unknown(tokenizer):
    tokenizer["model"].update(vocab={"a": 0}, merges=[])


def _beyond(tokenizer):
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary.update((piece, number + 100_000) for piece, number in vocabulary.items())


@pytest.mark.parametrize(
    "file, change, words",
    [
        ("processor_config.json", _taller, "pictures of 448 × 448 px"),
        ("processor_config.json", _longer, "makes 100 tokens of a picture"),
        ("processor_config.json", _without_a_mean, "processor of copy cannot be loaded"),
        ("tokenizer.json", _unknown_unknown, "processor of copy cannot be loaded"),
        ("tokenizer.json", _beyond, "tokens that its weights lack"),
    ],
)
def test_a_processor_that_does_not_fit_is_refused(sharded, file, change, words):
    _edit(sharded / file, change)
    copy = dataclasses.replace(NANO, name="copy", path=sharded)
    with pytest.raises(UserError, match=words) as caught:
        load(checkpoint=copy)
    assert "\n" not in str(caught.value)
