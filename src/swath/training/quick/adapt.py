"""Adapt a model to a new place: its scores, corrected by a head on a few labels."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from swath.data.dataset import Manifest
from swath.errors import JobError, ModelError
from swath.models.hypercolumn import HIDDEN, HYPERCOLUMN, PARTS
from swath.models.model import Model
from swath.models.network import CLASSIC, Network, NetworkSpec, load_encoder_weights
from swath.training.quick.pixels import body_of, rgb_bands
from swath.types import PathLike, PixelFeatures

log = logging.getLogger(__name__)

_WITH_ENCODER: list[PixelFeatures] = ["encoder", "encoder-model"]

_WITH_LOCAL: list[PixelFeatures] = ["local", "encoder-local", "encoder-local-model"]


def open_base(path: PathLike, manifest: Manifest) -> Model:
    """Open the model to adapt, and check that the data fit it.

    Raises:
        ModelError: the file is no model, or one that cannot be adapted to these data.
    """
    model = Model(path)
    card = model.card
    if card.network is None:
        raise model.imported_error()
    bands, others = [b.name for b in card.bands], [b.name for b in manifest.bands]
    same = (bands, card.dtype) == (others, manifest.dtype)
    extra = "heights" if card.heights else "a mask of its own for each class"
    alone = "Train without --recipe quick"
    if card.decoder == CLASSIC:
        message = "The classic network sees images as a whole; the quick recipe cannot adapt it"
    elif card.heights or card.heads != "softmax":
        message = f"The model has {extra}, which the quick recipe cannot adapt"
    elif same and card.scaled != manifest.scaled:
        kinds = "values as they are stored", "values with scale and offset of the bands"
        message = f"The model takes {kinds[card.scaled]}; the data have {kinds[manifest.scaled]}"
        alone = f"Run `swath prepare` again {'without' if card.scaled else 'with'} --raw"
    elif not same:
        theirs = f"{', '.join(bands)} ({card.dtype})"
        message = f"The model takes the bands {theirs}; the data have {', '.join(others)}"
        message += f" ({manifest.dtype})"
        alone = "Prepare images with the model's bands, in its order, or train without --from"
    else:
        _report_classes(model, manifest)
        return model
    raise ModelError(message, code="not-adaptable", file=path, fix=alone)


def _report_classes(model: Model, manifest: Manifest) -> None:
    known, wanted = model.card.legend.names, manifest.legend.names
    lost = [name for name in known if name not in wanted]
    if not set(known) & set(wanted):
        raise ModelError(
            f"The model and the data have no class of the same name ({', '.join(known)};"
            f" {', '.join(wanted)})",
            code="not-adaptable",
            file=model.path,
            fix="Give the classes of the data the model's names, or train without --from",
        )
    if lost:
        log.warning(
            "%s: the data lack the model's classes %s, which the new model does not map; give"
            " `swath prepare` a class file with them to keep them.",
            model.path,
            ", ".join(lost),
        )


def adapted_network(
    model: Model, manifest: Manifest, kinds: Sequence[PixelFeatures], weights: str
) -> tuple[Network, str, list[PixelFeatures]]:
    """Build the network that describes pixels by a model and by what it does not know.

    Where the first weights of the model's encoder are missing, the model describes them alone.

    Args:
        model: the model to adapt.
        manifest: describes the data.
        kinds: what may describe a pixel without the model.
        weights: first weights of its encoder, as in `load_encoder_weights`.

    Returns:
        The network, where its weights are from, and what may describe a pixel, of which the last
        includes all others.
    """
    card, known = model.card, model.in_torch()
    pretrained = weights != "none" and "encoder" in PARTS[kinds[-1]]
    found: list[PixelFeatures] = ["bands", "model"]
    if pretrained:
        found = _WITH_ENCODER if kinds == ["encoder"] else _WITH_LOCAL
    scaling = tuple(b.mean for b in card.bands), tuple(b.std for b in card.bands)
    spec = NetworkSpec(
        card.encoder,
        HYPERCOLUMN,
        len(manifest.legend.trained),
        *scaling,
        (HIDDEN,) * 4,
        0,
        features=found[-1],
        rgb=rgb_bands(manifest),
        base=known.spec,
    )
    network = Network(spec).eval()
    body = body_of(network)
    cast(Network, body.base).load_state_dict(known.state_dict())
    if not pretrained:
        return network, card.name, found
    try:
        origin = load_encoder_weights(network, card.encoder, weights)
    except JobError as error:
        log.warning("%s Pixels are described by the model alone.", error)
        return adapted_network(model, manifest, kinds, "none")
    return network, f"{card.name}; {origin}", found


def base_weights(model: Model, classes: Sequence[str]) -> Tensor:
    """Return the weights (scores of the model, classes) with which its scores are added.

    Their mean over classes is subtracted, so that a class that the model does not know has the
    score of an average one. They are divided by the model's temperature, as its confidence is.
    """
    known = model.card.legend.names
    out = torch.zeros(len(known), len(classes))
    for i, name in enumerate(classes):
        if name in known:
            out[:, i] = -1 / len(known)
            out[known.index(name), i] += 1
    return out / model.card.temperature
