"""The mask codec: the published layout, the round trip, and the way from a box to the image."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.masks.codec import CODE_DIM, CODEBOOK_SIZE, MaskCodec, crop, paste

NANO = Path(__file__).parents[2] / "checkpoints" / "mask_codec.safetensors"
# Names and shapes of the published vae-oid.npz, see big_vision's segmentation.py.
PUBLISHED = {
    "_vq_vae._embedding": (128, 512),
    "encoder.0.weight": (16, 1, 4, 4),
    "encoder.6.weight": (128, 64, 4, 4),
    "encoder.8.net.0.weight": (128, 128, 3, 3),
    "encoder.9.net.4.weight": (128, 128, 1, 1),
    "encoder.10.weight": (512, 128, 1, 1),
    "decoder.0.weight": (128, 512, 1, 1),
    "decoder.2.net.2.bias": (128,),
    "decoder.3.net.4.weight": (128, 128, 1, 1),
    "decoder.4.weight": (128, 128, 4, 4),
    "decoder.6.weight": (128, 64, 4, 4),
    "decoder.8.weight": (64, 32, 4, 4),
    "decoder.10.weight": (32, 16, 4, 4),
    "decoder.12.weight": (1, 16, 1, 1),
}


@pytest.fixture(scope="module")
def nano() -> MaskCodec:
    return MaskCodec.load(NANO)


def disc(side: int = 64, radius: float = 0.4) -> np.ndarray:
    y, x = np.mgrid[:side, :side] / (side - 1) - 0.5
    return x**2 + y**2 <= radius**2


def test_weights_have_the_published_names_and_shapes():
    shapes = {name: tuple(tensor.shape) for name, tensor in MaskCodec().state_dict().items()}
    assert {name: shapes.get(name) for name in PUBLISHED} == PUBLISHED


def test_a_published_npz_loads_and_its_training_state_is_left_out(tmp_path):
    torch.manual_seed(0)
    codec = MaskCodec().eval()
    arrays = {name: tensor.numpy() for name, tensor in codec.state_dict().items()}
    arrays["_vq_vae._ema_cluster_size"] = np.zeros(128, np.float32)
    np.savez(tmp_path / "vae-oid.npz", **arrays)
    loaded = MaskCodec.load(tmp_path / "vae-oid.npz")
    codes = torch.randint(CODEBOOK_SIZE, (2, 16))
    assert torch.equal(loaded.decode(codes), codec.decode(codes))


def test_decoding_follows_the_published_operations():
    """The decoder against the same operations written out from the table of the format."""
    torch.manual_seed(1)
    codec = MaskCodec().eval()
    weights = codec.state_dict()
    codes = torch.randint(CODEBOOK_SIZE, (1, 16))

    def conv(x, name, padding=0):
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return torch.nn.functional.conv2d(x, weight, bias, padding=padding)

    grid = torch.stack([weights["_vq_vae._embedding"][c] for c in codes[0]])  # (16, 512)
    x = grid.T.reshape(1, CODE_DIM, 4, 4)  # row-major: code 1 is right of code 0
    x = conv(x, "decoder.0").relu()
    for block in ("decoder.2.net", "decoder.3.net"):
        inner = conv(x, f"{block}.0", 1).relu()
        inner = conv(inner, f"{block}.2", 1).relu()
        x = x + conv(inner, f"{block}.4")
    for name in ("decoder.4", "decoder.6", "decoder.8", "decoder.10"):
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        x = torch.nn.functional.conv_transpose2d(x, weight, bias, stride=2, padding=1).relu()
    wanted = conv(x, "decoder.12")[:, 0]
    assert torch.allclose(codec.decode(codes), wanted, atol=1e-6)


def test_saving_and_loading_keep_the_codes(tmp_path, nano):
    nano.save(tmp_path / "codec.safetensors")
    again = MaskCodec.load(tmp_path / "codec.safetensors")
    masks = torch.from_numpy(disc().astype(np.float32) * 2 - 1)[None, None]
    assert torch.equal(again.encode(masks), nano.encode(masks))


def test_nano_weights_fit_in_the_repository():
    assert NANO.stat().st_size < 10_000_000


def test_weights_without_an_encoder_are_refused():
    tensors = {k: v for k, v in MaskCodec().state_dict().items() if not k.startswith("encoder")}
    with pytest.raises(ValueError, match=r"encoder\.0\.bias"):
        MaskCodec.from_tensors(tensors)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\.npz or a \.safetensors"):
        MaskCodec.load(tmp_path / "codec.bin")


@pytest.mark.parametrize("codes", [torch.zeros(1, 15, dtype=torch.long), torch.full((1, 16), 128)])
def test_codes_that_are_no_codes_are_refused(nano, codes):
    with pytest.raises(ValueError, match="codes must be"):
        nano.decode(codes)


def test_masks_of_another_size_are_refused(nano):
    with pytest.raises(ValueError, match="masks must be"):
        nano.encode(torch.zeros(1, 1, 32, 32))


def test_nano_codes_bring_back_a_simple_outline(nano):
    masks = torch.from_numpy(disc().astype(np.float32) * 2 - 1)[None, None]
    codes = nano.encode(masks)
    assert codes.shape == (1, 16)
    assert codes.dtype == torch.int64
    decoded = nano.decode(codes)[0].numpy()
    both, either = (decoded > 0) & disc(), (decoded > 0) | disc()
    assert both.sum() / either.sum() > 0.9
    assert abs(decoded).max() < 2  # linear, but about [-1, 1]


def test_nano_codes_bring_back_the_objects_of_held_out_scenes(nano):
    from training.nano.scenes.scene import HELD_OUT, draw

    ious = []
    for seed in range(HELD_OUT, HELD_OUT + 20):
        for item in draw(seed).objects:
            codes = nano.encode(torch.from_numpy(crop(item.mask, item.box_xyxy_px))[None, None])
            pasted = paste(nano.decode(codes)[0], item.box_xyxy_px, 224, 224)
            ious.append((pasted & item.mask).sum() / (pasted | item.mask).sum())
    assert np.mean(ious) > 0.9


def test_a_mask_is_pasted_into_its_box_and_nowhere_else():
    pasted = paste(np.ones((64, 64)), (10, 20, 30, 50), width=100, height=80)
    assert pasted.shape == (80, 100)
    assert pasted[20:50, 10:30].all()
    assert pasted.sum() == 20 * 30


def test_pasting_keeps_left_and_right_top_and_bottom():
    quarter = -np.ones((64, 64))
    quarter[:32, 32:] = 1  # top right
    pasted = paste(quarter, (0, 0, 40, 20), width=40, height=20)
    assert pasted[:9, 21:].all()
    assert not pasted[:, :19].any()
    assert not pasted[11:].any()


def test_a_box_that_leaves_the_image_is_cut_at_its_edge():
    pasted = paste(np.ones((64, 64)), (-5, -5, 200, 10), width=50, height=40)
    assert pasted[:10].all()
    assert pasted.sum() == 10 * 50


def test_a_box_without_area_still_pastes_one_pixel():
    assert paste(np.ones((64, 64)), (7.2, 7.2, 7.3, 7.3), 20, 20).sum() == 1


def test_cropping_fills_the_codec_with_the_box():
    mask = np.zeros((50, 60), bool)
    mask[10:30, 20:40] = True
    inside = crop(mask, (20, 10, 40, 30))
    assert inside.shape == (64, 64)
    assert inside.dtype == np.float32
    assert (inside == 1).all()
    assert crop(mask, (0, 30, 10, 50)).max() == -1
