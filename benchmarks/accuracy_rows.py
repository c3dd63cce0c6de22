"""What accuracy.py trains: every row of its tables, and on which ground each is judged."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from trials import changed_recipe

from swath.options import TrainOptions
from swath.training.recipes import recipe_of
from swath.types import Tta

FIXED, TUNING, WORLD, WORLD_TUNING = "fixed split", "tiles 3 and 6", "world", "world, validation"
FOLDS = tuple(f"tile {n}" for n in (1, 3, 4, 6, 7))
WORLD_LATITUDE, WORLD_RELIEF = (
    "world, validation, with latitude",
    "world, validation, with latitude and relief",
)
"""Data: the test tiles; two of the training tiles; the demo's test blocks; each of the training
tiles in its turn, taken from the others; ten of the demo's training blocks, as they are and with
more bands, with which a step takes 3% (latitude) and 7% (relief as well) longer: that is not
counted.
"""

FEW, GUESSED = f"{TUNING}, one tile labelled", f"{TUNING}, one tile labelled, two guessed"
"""Data, as the results spell them: one of three training tiles has labels; for the others,
confident predictions of a model of the first.
"""

VALIDATED = (TUNING, *FOLDS, FEW, GUESSED, WORLD_TUNING, WORLD_LATITUDE, WORLD_RELIEF)
"""Data whose rows choose settings: their scores are of the validation split, never of the test."""

TILES = tuple(f"Tile {n}" for n in range(1, 9))
WITHOUT = "without "
"""Data: all tiles but one, which judges."""

SEEDS = (0, 1, 2)
PEERS = {"torchgeo": "peer_torchgeo.py", "segmentation-models-pytorch": "peer_smp.py"}
YARDSTICK = "colour of one pixel"
"""As the results spell it."""

GONE = {"ignore_borders": 0, "small_loss": 1.0, "jitter": "data", "average": 0.0}
"""Settings of older results that the recipe no longer has, with the values that changed nothing."""

RENAMED = {"views": "sampling"}
"""Settings that older results have by another name."""


@dataclass(frozen=True)
class Trial:
    """One training and its score.

    Attributes:
        data: what is learnt from, and judges.
        row: name in the tables.
        seed: of the training.
        minutes: of two cores when nothing else runs; 0 where nothing is trained.
        bf16: whether these are minutes of a processor with bf16, whose steps are much faster.
        tta: test-time augmentation of the maps that are scored; the model is that of the trial
            without.
        options: of `swath.train`.
        settings: of the recipe, those without an option.
    """

    data: str
    row: str = "default"
    seed: int = 0
    minutes: float = 8
    bf16: bool = False
    tta: Tta = "none"
    options: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    def what(self) -> dict[str, Any]:
        """Return all that a training depends on but data, seed and minutes, as JSON would.

        A result belongs to whatever row is taught so: rows may share one. And the default recipe
        may change: what was trained by the old one leaves the tables, and is trained anew. Settings
        that a training has no use for do not count.
        """
        if self.row in PEERS or self.row == YARDSTICK:
            return {"not ours": self.row}
        options = TrainOptions(dataset="", model="", **self.options)
        with changed_recipe(self.settings):
            recipe = dataclasses.asdict(recipe_of(options))
        network = {
            "encoder": options.encoder,
            "decoder": options.decoder,
            "weights": options.weights,
        }
        return self.counted(json.loads(json.dumps(network | {"recipe": recipe})))

    def counted(self, what: dict[str, Any]) -> dict[str, Any]:
        """Return the settings that count: one of the two scales, no weight of unused heights."""
        if "recipe" not in what:
            return what
        unused = {"scales" if self.data.startswith(WORLD) else "scales_known"}
        if not what["recipe"]["heights"]:
            unused.add("height_weight")
        recipe = {
            RENAMED.get(name, name): value
            for name, value in what["recipe"].items()
            if name not in unused and (name not in GONE or GONE[name] != value)
        }
        return what | {"recipe": recipe}

    def cost(self) -> str:
        """Name what the time of a step depends on; losses and pixel branch are a few percent."""
        on = "bf16: " if self.bf16 else ""
        if self.row in PEERS:
            return on + self.row
        what = self.what()
        recipe = what["recipe"]
        widths = "-".join(map(str, recipe["widths"]))
        batch = f"{recipe['batch']} x {recipe['patch']}"
        return f"{on}{what['encoder']}, {what['decoder']} {widths}, {batch}"


def _tuning(
    data: str, rows: dict[str, dict[str, Any]], minutes: float = 8, seed: int = 0
) -> list[Trial]:
    """Make a trial of each row, from options of `swath.train` and settings of the recipe."""
    names = {f.name for f in dataclasses.fields(TrainOptions)}
    return [
        Trial(
            data,
            row,
            seed=seed,
            minutes=minutes,
            options={k: v for k, v in given.items() if k in names},
            settings={k: v for k, v in given.items() if k not in names},
        )
        for row, given in rows.items()
    ]


LITE = "tf_efficientnet_lite"
NARROW: dict[str, Any] = {"widths": (64, 48, 32, 24)}
WIDTHS = {"narrow": NARROW["widths"], "": (128, 64, 48, 32), "wide": (256, 128, 64, 32)}

FRONT: dict[str, dict[str, Any]] = {
    f"lite{n}{', ' + name if name else ''}": {"encoder": f"{LITE}{n}", "widths": widths}
    for n in range(3)
    for name, widths in WIDTHS.items()
}
"""Encoders and decoder widths; `lite0` is the default network."""

_BEFORE = {"mixed": 0.0}

ABLATION: dict[str, dict[str, Any]] = {
    "default": {},
    "no pretrained weights": {"weights": "none"},
    "one scale": {"scales": (1.0, 1.0), "scales_known": (1.0, 1.0)},
    "not turned": {"turns": False},
    "not recolored": {"brightness": 0.0, "contrast": 0.0},
    "classes drawn as they are": {"balance": 1.0},
    "no Dice": {"loss": "ce"},
    "patches not mixed": _BEFORE,
    "no branch of single pixels": {"pixel_width": 0},
    "that branch not pre-trained": {"pixel_steps": 0},
    "no warm-up": {"warm_up": 1e-9},
    "constant rate": {"schedule": "constant"},
    "no weight decay": {"decay": 0.0},
    "gradients not clipped": {"clip": 0.0},
}
"""Each ingredient of the default recipe taken away."""

ONE_SEED = {"no pretrained weights", "that branch not pre-trained", "constant rate"}
"""Of them, those that have one seed so far."""

TRIES: dict[str, dict[str, Any]] = {
    "default": {},
    "patches not mixed: the default before": _BEFORE,
    "all patches mixed": {"mixed": 1.0},
    "recolored twice as much": {"brightness": 0.2, "contrast": 0.2},
    "recolored four times as much": {"brightness": 0.4, "contrast": 0.4},
    "encoder lite2": {"encoder": "tf_efficientnet_lite2"},
    "narrow decoder": NARROW,
}
"""What may improve the default recipe; scored on each of the training tiles in turn."""

WORLD_TRIES: dict[str, dict[str, Any]] = {
    "default": {},
    "patches not mixed: the default before": _BEFORE,
}
"""What may make it better on the world."""

GROUPS: dict[str, list[Trial]] = {
    "tries": [
        trial
        for row, given in TRIES.items()
        for tile in FOLDS
        for trial in _tuning(tile, {row: given}, 12)
    ],
    "world-tries": [
        *_tuning(WORLD_TUNING, WORLD_TRIES, 7),
        Trial(WORLD_LATITUDE, "latitude as a band", minutes=7),
        Trial(WORLD_RELIEF, "latitude and relief as bands", minutes=7),
    ],
    "unlabeled": [
        Trial(FEW, "one tile labeled"),
        Trial(GUESSED, "then two more, with the first model's maps for labels"),
    ],
    "front": _tuning(TUNING, FRONT),
    "ablation": [
        t
        for seed in SEEDS
        for t in _tuning(TUNING, ABLATION, seed=seed)
        if not (seed and t.row in ONE_SEED)
    ],
    "tiles": [Trial(WITHOUT + tile, bf16=True) for tile in TILES],
    "fixed": [
        *(
            Trial(FIXED, seed=seed, minutes=minutes, bf16=True)
            for minutes in (8, 30)
            for seed in SEEDS
        ),
        Trial(FIXED, minutes=60, bf16=True),
        *(Trial(FIXED, seed=seed, minutes=30, bf16=True, tta="scales") for seed in SEEDS),
        *(Trial(FIXED, minutes=60, bf16=True, tta=tta) for tta in ("scales", "full")),
    ],
    "peers": [Trial(FIXED, peer, seed=seed, bf16=True) for seed in SEEDS for peer in PEERS],
    "world": [
        Trial(WORLD, YARDSTICK, minutes=0),
        Trial(WORLD, minutes=7),
        Trial(WORLD, minutes=30),
    ],
}
"""Rows in the order of their use: settings are chosen before the test tiles are scored."""
