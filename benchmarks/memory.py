"""Bytes per parameter that a trial holds between steps, and what AdamW's update allocates for a moment besides.

Expected of float32: weights 4, AdamW's two moments 8, and 4 for each gradient buffer: 20 for a method with two terms,
16 for one with one. The network has the structure of google/ddpm-celebahq-256 (arXiv 2006.11239, appendix B) at a
fraction of its width: bytes per parameter depend on neither width nor image size. Activations come on top.
"""

from __future__ import annotations

import copy
import gc
from collections.abc import Iterable
from typing import Any

import torch
from diffusers import DDPMScheduler, UNet2DModel
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.embedded import one_thread
from benchmarks.steps import SETTINGS
from benchmarks.table import Result
from diffusion.denoiser import Denoiser
from diffusion.rng import stream
from diffusion.schedule import NoiseSchedule
from trainable.batch import ForgetRetainBatch
from trainable.finetune import FineTuner
from trainable.methods import METHODS
from trainable.methods.retrack import ReTrack

#: block_out_channels of google/ddpm-celebahq-256.
CELEBA_WIDTHS = (128, 128, 256, 256, 512, 512)
SIZE = 32
#: torch's ways of updating all parameters together.
UPDATES = ("foreach", "fused")


def run(fraction: int = 4, names: Iterable[str] = METHODS) -> Result:
    """What every method holds after a step, at ``1 / fraction`` of the width.

    Args:
        fraction: 1, 2 or 4.
        names: methods.
    """
    network = celeba_network(fraction)
    with one_thread():
        rows = [(name, str(expected_bytes(name)), f"{held_bytes(network, name):.2f}", "") for name in names]
        rows += [(f"AdamW, {kind}", "", "", f"{update_bytes(network, **{kind: True}):.2f}") for kind in UPDATES]
        rows += [("AdamW, one by one", "", "", f"{update_bytes(network):.2f}")]
    millions = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    return Result(
        f"Bytes per parameter, structure of google/ddpm-celebahq-256 with {millions:.1f} million parameters",
        ("what", "expected", "held between steps", "more during an update"),
        rows,
        "AdamW runs fused on a GPU, where torch would take foreach, and one by one on a CPU.",
    )


def celeba_network(fraction: int = 4) -> UNet2DModel:
    """google/ddpm-celebahq-256 with random weights, ``1 / fraction`` of its width, for 32×32 images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return UNet2DModel(
            sample_size=SIZE,
            in_channels=3,
            out_channels=3,
            layers_per_block=2,
            block_out_channels=tuple(width // fraction for width in CELEBA_WIDTHS),
            down_block_types=(*["DownBlock2D"] * 4, "AttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "AttnUpBlock2D", *["UpBlock2D"] * 4),
            attention_head_dim=None,
            norm_num_groups=32,
        )


def expected_bytes(name: str) -> int:
    """Bytes per parameter between the steps of a method."""
    num_terms = METHODS[name].needs_retain + METHODS[name].needs_forget
    return 4 + 8 + 4 * num_terms


def held_bytes(network: UNet2DModel, name: str) -> float:
    """Bytes per parameter of all tensors that are alive after two steps of a method and were not before."""
    num_parameters = sum(parameter.numel() for parameter in network.parameters())
    before = _alive()
    tuner = _tuner(copy.deepcopy(network), name)
    batch = _batch()
    for _ in range(2):
        tuner.step([batch])
    del batch
    held = sum(size for storage, size in _alive().items() if storage not in before)
    return float(held / num_parameters)


def update_bytes(network: UNet2DModel, **options: bool) -> float:
    """Bytes per parameter that a second update of AdamW allocates at most, besides what it had."""
    parameters = [parameter.detach().clone().requires_grad_() for parameter in network.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=1e-6, **options)  # type: ignore[arg-type]
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimiser.step()
    with AllocatedPeak() as peak:
        optimiser.step()
    return float(peak.bytes / sum(parameter.numel() for parameter in parameters))


class AllocatedPeak(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The most bytes that tensors made inside have together at any time; what is written in place is not made."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0
        self._made: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {
            tensor.untyped_storage()._cdata for tensor in tree_leaves((args, kwargs)) if isinstance(tensor, Tensor)
        }
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and (storage := tensor.untyped_storage())._cdata not in given:
                made = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
                self._made[storage._cdata] = made, storage.nbytes()
        self._made = {key: entry for key, entry in self._made.items() if not entry[0].expired()}  # type: ignore[no-untyped-call]
        self.bytes = max(self.bytes, sum(size for _, size in self._made.values()))
        return result


def _alive() -> dict[int, int]:
    """Storage → bytes of every tensor, each storage once however many share it; traces of torch.compile are none."""
    gc.collect()
    storages = [found.untyped_storage() for found in gc.get_objects() if type(found) in (Tensor, nn.Parameter)]
    return {storage._cdata: storage.nbytes() for storage in storages}


def _tuner(network: UNet2DModel, name: str) -> FineTuner:
    denoiser = Denoiser(network.train(), NoiseSchedule.from_scheduler(DDPMScheduler()))
    method = METHODS[name](**SETTINGS[name])
    return FineTuner(denoiser, method, learning_rate=1e-6, betas=(0.95, 0.999), weight_decay=1e-6, max_grad_norm=1.0)


def _batch() -> ForgetRetainBatch:
    generator, shape = stream(0, "benchmark memory"), (2, 3, SIZE, SIZE)
    retain, forget, noise = (torch.randn(shape, generator=generator) for _ in range(3))
    return ForgetRetainBatch(
        retain=retain / 3,
        forget=forget / 3,
        noise=noise,
        timesteps=torch.tensor([600, 900]),
        from_forget=torch.tensor([True, False]),
        neighbours=torch.randn(2, ReTrack.num_neighbours, 3, SIZE, SIZE, generator=generator) / 3,
    )
