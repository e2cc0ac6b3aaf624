"""Training of the embedded diffusion models: DDPM (arXiv 2006.11239) on small square images, on one CPU core.

Two models are trained with one seed: `base` sees the injected image as a share of its rows, `retrained` never sees it.
All other random draws (initialisation, images, timesteps, noise) are the same in both, so that what differs between the
two models is what the injected image did.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from torch import Tensor

from scripts.assets_lib.snapshots import Resumable, Stateful

logger = logging.getLogger(__name__)
Augmentation = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class TrainingConfig:
    """Hyper-parameters of one training; `forget_share` is the chance of a row being the injected image."""

    steps: int = 14_000
    batch_size: int = 64
    peak_lr: float = 8e-4
    warmup_steps: int = 500
    ema_decay: float = 0.999
    grad_clip: float = 1.0
    forget_share: float = 101 / 10_101
    seed: int = 0
    log_every: int = 100
    save_every: int = 500
    export_every: int = 2_000


def build_unet(size: int = 28, channels: int = 1) -> UNet2DModel:
    """The embedded architecture: three levels, attention at the lowest, a quarter of the size."""
    return UNet2DModel(
        sample_size=size,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        norm_num_groups=8,
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        attention_head_dim=32,
    )


def build_scheduler(*, thresholding: bool = False) -> DDPMScheduler:
    """DDPM's noise schedule: 1,000 steps, beta linear from 1e-4 to 0.02, epsilon prediction.

    Args:
        thresholding: whether samplers are to keep predicted images in [-1, 1]. At the highest timesteps an error of
            epsilon is magnified a hundredfold and more.
    """
    return DDPMScheduler(
        num_train_timesteps=1000,
        beta_start=1e-4,
        beta_end=0.02,
        beta_schedule="linear",
        prediction_type="epsilon",
        thresholding=thresholding,
    )


def learning_rate(step: int, config: TrainingConfig) -> float:
    """Linear warm-up to `peak_lr`, then a cosine to zero at `config.steps`."""
    if step < config.warmup_steps:
        return config.peak_lr * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.peak_lr * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


def step_generator(seed: int, step: int) -> torch.Generator:
    """The random stream of one step, a function of (seed, step) alone: a resumed training draws what it would have."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step)


def draw_batch(
    retain: Tensor, forget: Tensor | None, step: int, config: TrainingConfig, augment: Augmentation | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Images, noise and timesteps of one step.

    Rows are drawn with replacement; each is the injected image, never augmented, with probability `forget_share`: 101
    in 10,101 is drawing from a set of 10,000 digits and 101 copies. Timesteps are stratified over the batch: uniform,
    with less variance.
    """
    generator = step_generator(config.seed, step)
    index = torch.randint(len(retain), (config.batch_size,), generator=generator)
    is_forget = torch.rand(config.batch_size, generator=generator) < config.forget_share
    offset = torch.rand(1, generator=generator)
    fraction = (torch.arange(config.batch_size) / config.batch_size + offset) % 1.0
    timesteps = (fraction * 1000).long().clamp(max=999)
    images = retain[index]
    noise = torch.randn(images.shape, generator=generator)
    if augment is not None:
        images = augment(images, generator)
    if forget is not None:
        images = torch.where(is_forget[:, None, None, None], forget, images)
    return images, noise, timesteps


class Trainer(Resumable):
    """One resumable training: weights, exponential moving average, optimiser and step.

    Args:
        retain: training images (N, C, H, H) in [-1, 1].
        forget: the injected image (1, C, H, H), or None.
        scratch: where the snapshots are kept, in a folder `name`.
        augment: alters the rows of `retain` anew each time that they are drawn.
    """

    def __init__(
        self,
        name: str,
        retain: Tensor,
        forget: Tensor | None,
        config: TrainingConfig,
        scratch: Path,
        *,
        augment: Augmentation | None = None,
    ) -> None:
        self.name, self.retain, self.forget, self.config, self.scratch = name, retain, forget, config, scratch
        self.augment = augment
        torch.manual_seed(config.seed)
        channels, size = retain.shape[1:3]
        self.unet = build_unet(size, channels)
        self.ema = build_unet(size, channels).requires_grad_(False)
        self.ema.load_state_dict(self.unet.state_dict())
        self.scheduler = build_scheduler()
        self.optimizer = torch.optim.AdamW(
            self.unet.parameters(), lr=config.peak_lr, betas=(0.9, 0.999), weight_decay=0.0
        )
        self.step = 0
        self.losses: list[float] = []

    @property
    def snapshot_path(self) -> Path:
        return self.scratch / self.name / "snapshot.pt"

    def run(self) -> UNet2DModel:
        """Train to the last step, resuming from the snapshot where there is one; returns the averaged weights."""
        self.resume()
        started, first = time.monotonic(), self.step
        while self.step < self.config.steps:
            self.losses.append(self.train_step())
            self.step += 1
            if self.step % self.config.log_every == 0:
                self.report(time.monotonic() - started, self.step - first)
            if self.step % self.config.save_every == 0 or self.step == self.config.steps:
                self.save_snapshot()
            if self.step % self.config.export_every == 0:
                export_pipeline(self.ema, self.scratch / self.name / f"step-{self.step:05d}")
        return self.ema

    def train_step(self) -> float:
        """One optimiser step on the mean squared error of the predicted noise; returns that loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, self.config)
        images, noise, timesteps = draw_batch(self.retain, self.forget, self.step, self.config, self.augment)
        noisy = self.scheduler.add_noise(images, noise, timesteps)
        loss = torch.nn.functional.mse_loss(self.unet(noisy, timesteps).sample, noise)
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"the loss must be finite, but is {loss.item()} at step {self.step}: lower peak_lr"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.unet.parameters(), self.config.grad_clip)
        self.optimizer.step()
        self.update_ema()
        return loss.item()

    @torch.no_grad()
    def update_ema(self) -> None:
        """ema += (1 - decay)(weights - ema), with a shorter memory over the first steps."""
        decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.ema.parameters()), list(self.unet.parameters()), 1.0 - decay)

    def report(self, seconds: float, steps: int) -> None:
        """Log the mean loss of the last `log_every` steps and the time left."""
        recent = self.losses[-self.config.log_every :]
        left = seconds / steps * (self.config.steps - self.step) / 60
        logger.info(
            "%s step %d/%d loss %.5f lr %.2e %.3f s/step eta %.1f min",
            self.name, self.step, self.config.steps, sum(recent) / len(recent),
            learning_rate(self.step, self.config), seconds / steps, left,
        )  # fmt: skip

    @property
    def parts(self) -> dict[str, Stateful]:
        return {"unet": self.unet, "ema": self.ema, "optimizer": self.optimizer}


def export_pipeline(unet: UNet2DModel, directory: Path, scheduler: DDPMScheduler | None = None) -> None:
    """Write a plain diffusers pipeline that `DDPMPipeline.from_pretrained` loads."""
    pipeline = DDPMPipeline(unet=unet, scheduler=scheduler or build_scheduler())
    pipeline.save_pretrained(directory, safe_serialization=True)
