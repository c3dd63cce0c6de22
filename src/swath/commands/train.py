"""`swath train`: train a network on a dataset, and write a model file."""

from __future__ import annotations

from contextlib import nullcontext

from swath._imports import without_collection
from swath.commands.base import command
from swath.data.dataset import Dataset
from swath.data.statistics import check_class_count
from swath.io.atomic import exclusive
from swath.options import TrainOptions
from swath.training.recipes import recipe_of
from swath.training.result import TrainResult


@command(TrainOptions)
def train(options: TrainOptions) -> TrainResult:
    """Train a network on the training split, and pack it into a model file.

    Raises:
        DataError: the dataset is damaged, has labels of fewer than two classes, or has no heights
            where they are to be trained.
        UsageError: an option is wrong, such as an encoder that does not exist.
        JobError: weights are missing, the interrupted training to resume was another, the loss
            diverged, or the disk is full.
    """
    if options.recipe == "quick":
        with without_collection():
            from swath.training.quick.recipe import train_quick

        with exclusive(options.model):
            return train_quick(options, _open(options))
    with without_collection():
        from swath.training.full import is_follower, train_full

    with nullcontext() if is_follower() else exclusive(options.model):
        return train_full(options, _open(options), recipe_of(options))


def _open(options: TrainOptions) -> Dataset:
    dataset = Dataset(options.dataset)
    check_class_count(dataset.manifest, dataset.folder)
    return dataset
