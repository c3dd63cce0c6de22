"""torchgeo's SemanticSegmentationTask, run as its documentation has it; run by accuracy.py.

Task, Trainer and batches of samples are torchgeo's and Lightning's, with their defaults:
cross-entropy, AdamW at 1e-3, a tenth of it after ten passes without progress of the validation
loss. Augmentation and scaling are those of its LandCoverAIDataModule, the nearest to these images
among its data modules. Its validation needs data: the middles of the training images, so that no
tile is lost.
"""

from __future__ import annotations

import swath._torchvision_shim  # noqa: F401 - has to come first; the rest of Swath is not used

import time
import warnings

import kornia.augmentation as K
import torch
from lightning.pytorch import Trainer
from peer_data import Crops, read_job, write_about, write_maps
from torchgeo.trainers import SemanticSegmentationTask

BATCH = 8


class Task(SemanticSegmentationTask):
    """The task with the augmentation of torchgeo's data modules, done on the device."""

    def on_after_batch_transfer(self, batch: list[torch.Tensor], _: int) -> dict[str, torch.Tensor]:
        """Augment training batches, and scale all; empty corners of rotations are unlabeled."""
        image, mask, ignore = *batch, self.hparams["ignore_index"]
        if not self.trainer.training:
            return {"image": image / 255, "mask": mask}
        out: dict[str, torch.Tensor] = AUGMENTATION(
            {"image": image, "mask": (mask[:, None] - ignore).float()}
        )
        return out | {"mask": (out["mask"][:, 0] + ignore).long()}


AUGMENTATION = K.AugmentationSequential(
    K.Normalize(mean=torch.zeros(3), std=torch.full((3,), 255.0)),
    K.RandomRotation(p=0.5, degrees=90),
    K.RandomHorizontalFlip(p=0.5),
    K.RandomVerticalFlip(p=0.5),
    K.RandomSharpness(p=0.5),
    K.ColorJitter(p=0.5, brightness=0.1, contrast=0.1, saturation=0.1, hue=0.1),
    data_keys=None,
    keepdim=True,
)


def main() -> None:
    """Learn the steps of the job, and map."""
    warnings.simplefilter("ignore")
    job = read_job()
    task = Task(
        model="unet",
        backbone=f"tu-{job['encoder']}",
        in_channels=3,
        task="multiclass",
        num_classes=job["classes"],
        loss="ce",
        ignore_index=job["ignore"],
        lr=1e-3,
        patience=10,
    )
    task.model.encoder.model.load_state_dict(torch.load(job["weights"], weights_only=True))
    crops = torch.utils.data.DataLoader(
        Crops(job, each=8), batch_size=BATCH, shuffle=True, drop_last=True
    )
    middles = torch.utils.data.DataLoader(Crops(job, each=1, fixed=True), batch_size=BATCH)
    trainer = Trainer(
        max_steps=job["steps"], logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    start = time.perf_counter()
    trainer.fit(task, crops, middles)
    seconds = time.perf_counter() - start
    task.eval().to("cuda" if torch.cuda.is_available() else "cpu")
    write_maps(job, lambda pixels: task(pixels.to(task.device) / 255))
    write_about(
        job,
        seconds,
        "torch",
        "torchgeo",
        "segmentation-models-pytorch",
        "timm",
        "lightning",
        "kornia",
    )


if __name__ == "__main__":
    main()
