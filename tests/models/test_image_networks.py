"""Networks that look at images, beside what else a row has."""

import pytest
import torch
from torch import nn

from treadle.bundle import build_model
from treadle.errors import TreadleError
from treadle.models.image_resnet import ImageResNet
from treadle.models.image_vit import ImageVit
from treadle.models.images import ImageInput
from treadle.models.linear import Linear
from treadle.schema import ImageSpan


def build(images, **sizes):
    sizes = {"num_numeric": 2, "cardinalities": [], "num_outputs": 3, **sizes}
    return ImageResNet(images=images, widths=[4, 8], num_blocks=2, member=Linear, **sizes).eval()


def test_images_are_read_as_they_lie_from_black_to_white():
    read = ImageInput([ImageSpan(0, 2, 3, 1), ImageSpan(6, 2, 3, 3)])
    pixels = torch.arange(24, dtype=torch.uint8)[None]
    pixels[0, 0], pixels[0, 1] = 0, 255

    whole = read(pixels)

    assert whole.shape == (1, 4, 2, 3)
    assert whole.is_contiguous(memory_format=torch.channels_last) or whole.stride(1) == 1
    assert whole[0, 0, 0, :2].tolist() == [-1, 1]
    assert torch.equal(whole[0, 1:, 1, 2], pixels[0, -3:] / 127.5 - 1)


def test_every_image_and_every_number_counts():
    network = build([ImageSpan(0, 8, 8, 1), ImageSpan(64, 8, 8, 3)])
    nn.init.normal_(network.member.weight)
    numeric, ids, pixels = torch.randn(4, 2), torch.zeros(4, 0).long(), torch.randint(256, (4, 256)).byte()
    output = network(numeric, ids, pixels)

    for start in (0, 64):
        changed = pixels.clone()
        changed[:, start : start + 64] = 255 - changed[:, start : start + 64]
        assert not torch.isclose(network(numeric, ids, changed), output).any()
    assert not torch.isclose(network(numeric + 1, ids, pixels), output).any()


@pytest.mark.parametrize(
    ("images", "told"),
    [
        ([], "no block of features gives pixels"),
        ([ImageSpan(0, 8, 8, 1), ImageSpan(64, 4, 8, 1)], "must have one size"),
    ],
)
def test_no_image_or_images_of_two_sizes_are_refused(images, told):
    with pytest.raises(TreadleError, match=told):
        build(images)


def test_a_network_that_looks_at_no_images_is_refused():
    sizes = {"num_numeric": 2, "cardinalities": [], "num_classes": 0, "images": [ImageSpan(0, 8, 8, 1)]}
    with pytest.raises(TreadleError, match=r"treadle\.models\.linear\.Linear reads no images"):
        build_model({"_target_": "treadle.models.linear.Linear"}, targets=["treadle.models."], **sizes)


def build_vit(images, *, patch=4):
    sizes = {"num_numeric": 0, "cardinalities": [], "num_outputs": 3, "images": images, "patch": patch}
    return ImageVit(num_blocks=2, num_heads=2, head_dim=4, hidden_factor=2, dropout=0.0, member=Linear, **sizes).eval()


def test_a_transformer_knows_where_a_patch_is():
    network = build_vit([ImageSpan(0, 8, 12, 3)])
    nn.init.normal_(network.member.weight)
    pixels = torch.randint(256, (3, 8, 12, 3)).byte()
    swapped = torch.cat([pixels[:, 4:], pixels[:, :4]], dim=1)
    none = torch.empty(3, 0), torch.empty(3, 0).long()

    output = network(*none, pixels.flatten(1))

    assert network.places.shape == (6, 8)
    assert not torch.isclose(network(*none, swapped.flatten(1)), output).any()


def test_an_image_that_is_no_whole_patches_is_refused():
    with pytest.raises(TreadleError, match="images of 8 x 10 pixels are no whole patches of 4 x 4"):
        build_vit([ImageSpan(0, 8, 10, 1)])
