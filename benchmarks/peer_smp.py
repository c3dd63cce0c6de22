"""A plain segmentation-models-pytorch script, after its multi-class example; run by accuracy.py.

Its example: Dice loss from logits, Adam at 2e-4, cosine to 1e-5 over all steps, batches of 32
random crops of 320, mirrored, colors as the encoder's weights expect. Here: the same over a U-Net,
with batches of 8 crops of 256, because 32 of 320 would be a few dozen steps in eight minutes of two
cores; mirrored both ways, because satellite images have no top.
"""

from __future__ import annotations

import swath._torchvision_shim  # noqa: F401 - has to come first; the rest of Swath is not used

import time

import segmentation_models_pytorch as smp
import timm
import torch
from peer_data import Crops, read_job, write_about, write_maps

BATCH = 8


def main() -> None:
    """Learn the steps of the job, and map."""
    job = read_job()
    config = timm.get_pretrained_cfg(job["encoder"])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    mean, std = (
        255 * torch.tensor(part, device=device).reshape(1, 3, 1, 1)
        for part in (config.mean, config.std)
    )
    model = smp.Unet(
        f"tu-{job['encoder']}", encoder_weights=None, in_channels=3, classes=job["classes"]
    )
    model.encoder.model.load_state_dict(torch.load(job["weights"], weights_only=True))
    model.to(device)
    loss_of = smp.losses.DiceLoss(
        smp.losses.MULTICLASS_MODE, from_logits=True, ignore_index=job["ignore"]
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, T_max=job["steps"], eta_min=1e-5
    )
    loader = torch.utils.data.DataLoader(
        Crops(job, each=16), batch_size=BATCH, shuffle=True, drop_last=True
    )
    model.train()
    start, step = time.perf_counter(), 0
    while step < job["steps"]:
        for pixels, labels in loader:
            flips = [axis for axis in (-2, -1) if torch.rand(()) < 0.5]
            pixels, labels = pixels.to(device), labels.to(device)
            loss = loss_of(model(((pixels - mean) / std).flip(flips)), labels.flip(flips))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            step += 1
            if step == job["steps"]:
                break
    seconds = time.perf_counter() - start
    model.eval()
    write_maps(job, lambda pixels: model((pixels.to(device) - mean) / std))
    write_about(job, seconds, "torch", "segmentation-models-pytorch", "timm")


if __name__ == "__main__":
    main()
