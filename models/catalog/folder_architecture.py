"""Whether the `config.json` of a folder describes the architecture of a built-in checkpoint.

What a configuration leaves out has the default of transformers' Gemma2Config, SiglipVisionConfig or
PaliGemmaConfig, as published configurations leave out much. This module knows no transformers.
"""

from __future__ import annotations

from typing import Any

from models.catalog.checkpoints import Checkpoint

# Field of `architectures.Text` or `Vision`: name in config.json, default there, words for people.
_TEXT = {
    "layers": ("num_hidden_layers", 26, "decoder layers"),
    "width": ("hidden_size", 2304, "decoder width"),
    "mlp": ("intermediate_size", 9216, "decoder MLP width"),
    "heads": ("num_attention_heads", 8, "decoder heads"),
    "key_heads": ("num_key_value_heads", 4, "decoder key heads"),
    "head_dim": ("head_dim", 256, "decoder head width"),
    "query_scalar": ("query_pre_attn_scalar", 256, "query scalar"),
    "vocabulary": ("vocab_size", 256_000, "vocabulary"),
}
_VISION = {
    "layers": ("num_hidden_layers", 12, "vision layers"),
    "width": ("hidden_size", 768, "vision width"),
    "mlp": ("intermediate_size", 3072, "vision MLP width"),
    "heads": ("num_attention_heads", 12, "vision heads"),
    "patch": ("patch_size", 16, "patch size"),
}
_PROJECTION_DEFAULT = 2048
_RESOLUTION_DEFAULT = 224
# Some configurations of the family count the 64 rows that transformers adds to 257152 embeddings.
_PADDED_VOCABULARIES = {257_152: (257_152, 257_216)}


def mismatch(config: dict[str, Any], like: Checkpoint, called: str = "") -> str | None:
    """What keeps a configuration from being of `like`'s architecture, naming each difference with
    the value found and the one expected; None where nothing does.

    `called` is that architecture in words, by default that of `like`'s name.

    TypeError or AttributeError where `config` is no configuration at all.
    """
    text, vision = config.get("text_config") or {}, config.get("vision_config") or {}
    foreign = _foreign_model(config.get("model_type"), text, vision)
    if foreign:
        return foreign
    differences = []
    for part, fields, expected_part in (
        (text, _TEXT, like.shape.text),
        (vision, _VISION, like.shape.vision),
    ):
        for field, (key, default, words) in fields.items():
            found, expected = _side(part.get(key, default)), getattr(expected_part, field)
            accepted = _PADDED_VOCABULARIES.get(expected, ()) if field == "vocabulary" else ()
            if found != expected and found not in accepted:
                differences.append(f"{words} {found} and not {expected}")
    projection = config.get("projection_dim", _PROJECTION_DEFAULT)
    if projection != like.shape.text.width:
        differences.append(f"projection width {projection} and not {like.shape.text.width}")
    resolution = _side(vision.get("image_size", _RESOLUTION_DEFAULT))
    if resolution != like.resolution:
        differences.append(f"resolution {resolution} px and not {like.resolution} px")
    if not differences:
        return None
    called = called or f"the architecture of {like.name}"
    return f"it is not of {called}: it has {', '.join(differences)}"


def _foreign_model(kind: Any, text: dict[str, Any], vision: dict[str, Any]) -> str | None:
    """What to say of another family of models; None of a PaliGemma 2."""
    if kind != "paligemma":
        return f"it is a {kind} and not a PaliGemma 2"
    decoder = text.get("model_type", "gemma")  # transformers' default
    if decoder == "gemma":
        return "it is a PaliGemma 1, whose decoder is a gemma, and not a PaliGemma 2"
    if decoder != "gemma2":
        return f"its decoder is a {decoder} and not a gemma2"
    tower = vision.get("model_type", "siglip_vision_model")
    if tower != "siglip_vision_model":
        return f"its vision tower is a {tower} and not a siglip_vision_model"
    return None


def _side(value: Any) -> Any:
    """A number; of the two equal sides of a square, one."""
    if isinstance(value, list) and len(value) == 2 and value[0] == value[1]:
        return value[0]
    return value
