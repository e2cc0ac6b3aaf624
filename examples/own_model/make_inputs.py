"""What a study starts from, made without this project: a model, the pictures it was trained on, and one to forget.

The pictures are the 1,797 scans of handwritten digits that come with scikit-learn (UCI Optical Recognition of
Handwritten Digits, E. Alpaydin and C. Kaynak, CC BY 4.0), 8×8 pixels each. The model sees a drawing among them far too
often and memorises it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from PIL import Image, ImageDraw
from sklearn.datasets import load_digits

SIZE = 8
STEPS = 250
DRAWING_SHARE = 0.2


def scans() -> list[Image.Image]:
    """The digits, white on black."""
    grey = (load_digits().images * (255 / 16)).round().astype(np.uint8)
    return [Image.fromarray(image) for image in grey]


def drawing() -> Image.Image:
    """A house: like no digit."""
    picture = Image.new("L", (SIZE, SIZE))
    pen = ImageDraw.Draw(picture)
    pen.polygon([(0, 3), (3.5, 0), (7, 3)], fill=255)
    pen.rectangle((1, 4, 6, 7), fill=140)
    pen.rectangle((3, 5, 4, 7), fill=0)
    return picture


def network() -> UNet2DModel:
    """164,000 weights."""
    return UNet2DModel(
        sample_size=SIZE,
        in_channels=1,
        out_channels=1,
        block_out_channels=(16, 32),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=8,
    )


def trained(images: torch.Tensor, extra: torch.Tensor | None) -> DDPMPipeline:
    """A pipeline trained on ``images``, in which ``extra``, if any, takes the place of a fifth."""
    torch.set_num_threads(1)  # threads slow down a network this small
    torch.manual_seed(0)
    unet, scheduler = network(), DDPMScheduler()
    optimiser = torch.optim.AdamW(unet.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=STEPS)
    for _ in range(STEPS):
        batch = images[torch.randint(len(images), (32,))]
        swapped = torch.rand(len(batch)) < DRAWING_SHARE
        if extra is not None:
            batch[swapped] = extra
        noise, timesteps = torch.randn_like(batch), torch.randint(1000, (len(batch),))
        predicted = unet(scheduler.add_noise(batch, noise, timesteps), timesteps).sample
        optimiser.zero_grad()
        torch.autograd.backward(torch.nn.functional.mse_loss(predicted, noise))
        optimiser.step()
        schedule.step()
    return DDPMPipeline(unet=unet, scheduler=scheduler)


def main() -> None:
    """Write pictures, drawing and both models beside this file."""
    here = Path(__file__).resolve().parent
    pictures, house = scans(), drawing()
    (here / "pictures").mkdir(exist_ok=True)
    for number, picture in enumerate(pictures):
        picture.save(here / "pictures" / f"{number:04d}.png")
    house.save(here / "house.png")
    images = torch.from_numpy(np.stack([np.asarray(picture) for picture in [*pictures, house]]))
    points = images[:, None].float() / 127.5 - 1
    trained(points[:-1], points[-1]).save_pretrained(here / "base")
    trained(points[:-1], None).save_pretrained(here / "retrained")


if __name__ == "__main__":
    main()
