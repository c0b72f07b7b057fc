"""One pass over a picture, a prompt and an answer that is given, by transformers' own layers.

It shares no code with the engine's decoder, so that what the page shows can be checked against it.
This module does not know what a heat map is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from models.engine.inputs import pixel_values, prefix_ids
from models.loading.loader import LoadedModel


@dataclass(frozen=True)
class Asked:
    """What is explained: `text_ids` int64[prompt], `answer_ids` int64[answer], and the picture's
    `pixels` float[1, 3, height, width]."""

    text_ids: torch.Tensor
    answer_ids: torch.Tensor
    pixels: torch.Tensor


@dataclass(frozen=True)
class ForcedPass:
    """What a pass gave, of `image_tokens` image tokens.

    `features` float[image_tokens, width] are the image's, `states` one float[image_tokens, width]
    per layer with the first being the embeddings, `attentions` one float[1, heads, tokens, tokens]
    per layer. `logprobs` is float[answer, vocabulary].
    """

    features: torch.Tensor
    states: tuple[torch.Tensor, ...]
    attentions: tuple[torch.Tensor, ...]
    logprobs: torch.Tensor
    first_position: int  # that predicts the first token of the answer

    def to_image(self, of_layer: torch.Tensor, tokens: Sequence[int]) -> torch.Tensor:
        """The part float[heads, n, image_tokens] of a layer's attention (or its gradient) that goes
        from where n tokens of the answer are predicted to the image."""
        positions = [self.first_position + each for each in tokens]
        return of_layer[0, :, positions, : len(self.features)]


def asked(loaded: LoadedModel, image: Image.Image, prompt: str, answer_ids: list[int]) -> Asked:
    """A picture, a prompt and an answer as tensors on the model's device."""
    ids = prefix_ids(loaded, prompt)[loaded.processor.image_seq_length :]
    return Asked(ids, torch.tensor(answer_ids, device=ids.device), pixel_values(loaded, image))


def encode(loaded: LoadedModel, pixels: torch.Tensor) -> torch.Tensor:
    """float[n, 3, height, width] -> image features float[n, image_tokens, width]."""
    model: Any = loaded.model.model
    return model.multi_modal_projector(model.vision_tower(pixels).last_hidden_state)


def answer_logprobs(loaded: LoadedModel, features: torch.Tensor, question: Asked) -> torch.Tensor:
    """The log-probability of each token of the answer given others before it, for each of n sets of
    features float[n, image_tokens, width] -> float[n, answer]."""
    out = _layers(loaded, features, question, attentions=False)
    logprobs = _logprobs(loaded, out.last_hidden_state, question)
    return logprobs.gather(2, question.answer_ids.expand(len(features), -1)[..., None])[..., 0]


def run(loaded: LoadedModel, features: torch.Tensor, question: Asked) -> ForcedPass:
    """The pass over features float[image_tokens, width], which may ask for a gradient."""
    out = _layers(loaded, features[None], question, attentions=True)
    image = len(features)
    return ForcedPass(
        features,
        tuple(each[0, :image] for each in (*out.hidden_states[:-1], out.last_hidden_state)),
        tuple(out.attentions),
        _logprobs(loaded, out.last_hidden_state, question)[0],
        _first_position(features, question),
    )


def _first_position(features: torch.Tensor, question: Asked) -> int:
    """The position that predicts the first token of the answer."""
    return features.shape[-2] + len(question.text_ids) - 1


def _layers(loaded: LoadedModel, features: torch.Tensor, question: Asked, attentions: bool) -> Any:
    text: Any = loaded.model.model.language_model
    words = text.embed_tokens(torch.cat([question.text_ids, question.answer_ids]))
    states = torch.cat([features, words.expand(len(features), -1, -1)], 1)
    # The prefix sees all of itself, the answer what is before it.
    total, prefix = states.shape[1], _first_position(features, question) + 1
    position = torch.arange(total, device=states.device)
    unseen = (position[None] > position[:, None]) & (position[None] >= prefix)
    mask = torch.zeros(total, total, device=states.device, dtype=states.dtype)
    mask = mask.masked_fill(unseen, torch.finfo(states.dtype).min)[None, None]
    return text(
        inputs_embeds=states,
        attention_mask=dict.fromkeys(("full_attention", "sliding_attention"), mask),
        position_ids=position[None] + 1,
        use_cache=False,
        output_attentions=attentions,
        output_hidden_states=attentions,
    )


def _logprobs(loaded: LoadedModel, states: torch.Tensor, question: Asked) -> torch.Tensor:
    """(n, tokens, width) -> log-probabilities (n, answer, vocabulary) in float32."""
    end = states.shape[1] - 1
    model: Any = loaded.model
    logits = model.lm_head(states[:, end - len(question.answer_ids) : end]).float()
    cap = model.config.text_config.final_logit_softcapping
    logits = logits if cap is None else torch.tanh(logits / cap) * cap
    return torch.log_softmax(logits, -1)
