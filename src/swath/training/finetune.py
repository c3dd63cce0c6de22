"""Going on from a model: its weights in a network for other data, whose classes and bands may be others."""

from __future__ import annotations

import swath._torchvision_shim  # noqa: F401 - has to come first

from collections.abc import Sequence

import torch
from torch import Tensor

from swath.data.dataset import Manifest
from swath.errors import ModelError
from swath.models.model import Model
from swath.models.network import Network, NetworkSpec
from swath.training.recipes import Recipe

HEIGHT = "height above ground"
"""Name of the channel of heights, beside those of the classes."""


def spec_like(model: Model, manifest: Manifest, recipe: Recipe) -> NetworkSpec:
    """Describe the network of a model for other data: same encoder and decoder, the data's classes and bands.

    Bands that the model knows, in images of its type, are scaled as it has learnt; others by the
    data's own statistics.
    """
    card = model.card
    known = {b.name: (b.mean, b.std) for b in card.bands} if card.dtype == manifest.dtype else {}
    mean, std = zip(*(known.get(b.name, (b.mean, b.std)) for b in manifest.bands), strict=True)
    classes = len(manifest.legend.trained)
    return NetworkSpec(
        card.encoder,
        card.decoder,
        classes,
        mean,
        std,
        heights=recipe.heights,
        **card.network.model_dump(),
    )


def transfer_weights(network: Network, model: Model, manifest: Manifest) -> str:
    """Copy a model's weights into a network that `spec_like` describes.

    What belongs to a class or a band goes to the one of the same name. Filters of a band that the
    model does not know begin as the mean of those that it knows; scores of a class that it does not
    know begin at random.

    Returns:
        What was kept, for the card.

    Raises:
        ModelError: the weights are not those of its card.
    """
    mine, theirs = network.state_dict(), model.in_torch().state_dict()
    outputs = (
        _channels(manifest.legend.names, network.spec.heights),
        _channels(model.card.legend.names, model.card.heights),
    )
    bands = [b.name for b in manifest.bands], [b.name for b in model.card.bands]
    by_class, by_band = set(network.class_tensors), set(network.band_tensors)
    for name, tensor in mine.items():
        if name in ("mean", "std", "gain", "offset"):
            continue
        source = theirs.get(name)
        if source is None or source.ndim != tensor.ndim:
            raise ModelError(
                f"it lacks the weights {name}", file=model.path, fix="Train without --from"
            )
        if name in by_class:
            source = _moved(tensor, source, *outputs, axis=0, mean=False)
        if name in by_band:
            source = _moved(tensor, source, *bands, axis=min(1, tensor.ndim - 1), mean=True)
        if source.shape != tensor.shape:
            raise ModelError(
                f"its weights {name} have another shape",
                file=model.path,
                fix="Train without --from",
            )
        tensor.copy_(source)
    network.load_state_dict(mine)
    kept = [[n for n in new if n in old] for new, old in (outputs, bands)]
    return (
        f"{model.card.name}, with {len(kept[0])} of {len(outputs[0])} classes ({', '.join(kept[0]) or 'none'}) "
        f"and {len(kept[1])} of {len(bands[0])} bands ({', '.join(kept[1]) or 'none'})"
    )


def _channels(classes: Sequence[str], heights: bool) -> list[str]:
    return [*classes, HEIGHT] if heights else list(classes)


def _moved(
    tensor: Tensor, source: Tensor, new: Sequence[str], old: Sequence[str], *, axis: int, mean: bool
) -> Tensor:
    """Return a tensor whose slices along an axis come from those of the same name in another.

    A slice without namesake stays as it is, or becomes the mean of those that have one.
    """
    out = tensor.clone()
    known = [old.index(n) for n in new if n in old]
    for i, name in enumerate(new):
        if name in old:
            out.select(axis, i).copy_(source.select(axis, old.index(name)))
        elif mean and known:
            out.select(axis, i).copy_(source.index_select(axis, torch.tensor(known)).mean(axis))
    return out
