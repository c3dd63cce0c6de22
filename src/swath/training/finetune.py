"""Start from the weights of a model, also where the data have other classes or bands."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from swath.data.dataset import Manifest
from swath.errors import ModelError
from swath.models.model import Model
from swath.models.network import Network, NetworkSpec
from swath.training.recipes import Recipe

HEIGHT_CHANNEL = "height above ground"
"""Name of the channel of heights, beside those of the classes."""


def spec_like(model: Model, manifest: Manifest, recipe: Recipe) -> NetworkSpec:
    """Describe a network with a model's encoder and decoder, and the data's classes and bands.

    Bands that the model knows, in images of its type, are scaled as the model does; others by the
    data's own statistics.
    """
    card = model.card
    if card.network is None:
        raise model.imported_error()
    known = {b.name: (b.mean, b.std) for b in card.bands} if card.dtype == manifest.dtype else {}
    mean, std = zip(*(known.get(b.name, (b.mean, b.std)) for b in manifest.bands), strict=True)
    classes = len(manifest.legend.trained)
    names = card.encoder, card.decoder
    return NetworkSpec.of(*names, classes, (mean, std), card.network, recipe.heights)


def transfer_weights(network: Network, model: Model, manifest: Manifest) -> str:
    """Copy a model's weights into a network that `spec_like` describes.

    Weights of a class or a band go to the one of the same name. Filters of a band that the model
    does not know start as the mean of those that it knows; scores of an unknown class start at
    random.

    Returns:
        What was kept, for the card.

    Raises:
        ModelError: the weights are not those of the model's card.
    """
    own, theirs = network.state_dict(), model.in_torch().state_dict()
    new_channels = _channels(manifest.legend.names, network.spec.heights)
    old_channels = _channels(model.card.legend.names, model.card.heights)
    new_bands, old_bands = [b.name for b in manifest.bands], [b.name for b in model.card.bands]
    by_class, by_band = set(network.class_tensors), set(network.band_tensors)
    for name, tensor in own.items():
        if name in ("mean", "std", "gain", "offset"):
            continue
        source = theirs.get(name)
        if source is not None and source.ndim == tensor.ndim:
            if name in by_class:
                source = _moved(tensor, source, new_channels, old_channels, axis=0, mean=False)
            if name in by_band:
                axis = min(1, tensor.ndim - 1)
                source = _moved(tensor, source, new_bands, old_bands, axis=axis, mean=True)
        if source is None or source.shape != tensor.shape:
            raise ModelError(
                f"The model lacks the weights {name} of shape {tuple(tensor.shape)}",
                code="weights-do-not-fit",
                file=model.path,
                fix="Train without --from",
            )
        tensor.copy_(source)
    network.load_state_dict(own)
    classes = _kept("classes", new_channels, old_channels)
    return f"{model.card.name}, with {classes} and {_kept('bands', new_bands, old_bands)}"


def _kept(kind: str, new: Sequence[str], old: Sequence[str]) -> str:
    kept = [name for name in new if name in old]
    return f"{len(kept)} of {len(new)} {kind} ({', '.join(kept) or 'none'})"


def _channels(classes: Sequence[str], heights: bool) -> list[str]:
    return [*classes, HEIGHT_CHANNEL] if heights else list(classes)


def _moved(
    tensor: Tensor, source: Tensor, new: Sequence[str], old: Sequence[str], *, axis: int, mean: bool
) -> Tensor:
    """Return `tensor` with slices along an axis replaced by those of the same name in `source`.

    A slice whose name is new stays as it is, or becomes the mean of those that are known.
    """
    out = tensor.clone()
    known = [old.index(n) for n in new if n in old]
    for i, name in enumerate(new):
        if name in old:
            out.select(axis, i).copy_(source.select(axis, old.index(name)))
        elif mean and known:
            out.select(axis, i).copy_(source.index_select(axis, torch.tensor(known)).mean(axis))
    return out
