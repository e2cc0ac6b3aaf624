"""How a worker uses its device: applied where a workload is opened and a network loaded, so that no workload knows."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from diffusion.denoiser import Denoiser
from diffusion.precision import allow_tf32
from trainable.failure import TrialFailure


@dataclass(frozen=True)
class DeviceSettings:
    """Fields mean what those of the same names in a study's configuration do; by default nothing is changed."""

    precision: Literal["fp32", "bf16"] = "fp32"
    allow_tf32: bool = False
    channels_last: bool = False
    compile_network: bool = False
    gradient_checkpointing: bool = False
    gpus_per_trial: float = 0.0

    def claim(self) -> torch.device:
        """This process's GPU, set up, or the CPU where it has none and none is asked for.

        Ray hands out parts of a GPU without enforcing them: a worker keeps to its part of the memory by itself.
        Nor does Ray look for a GPU: it believes what the machine's type says, or who started the node.

        Raises:
            TrialFailure: "no gpu", if a trial is to have a GPU, or a part of one, and torch finds none.
        """
        if not torch.cuda.is_available():
            if self.gpus_per_trial > 0:
                raise _no_gpu(self.gpus_per_trial)
            return torch.device("cpu")
        allow_tf32(self.allow_tf32)
        if 0 < self.gpus_per_trial < 1:
            torch.cuda.set_per_process_memory_fraction(self.gpus_per_trial)
        return torch.device("cuda")

    def apply(self, denoiser: Denoiser) -> Denoiser:
        """``denoiser`` itself, its network laid out, checkpointed and compiled in place; names of weights stay.

        Raises:
            ValueError: checkpointing is asked for, and the network does not support it.
        """
        network = denoiser.network
        if self.precision == "bf16":
            denoiser.autocast = torch.bfloat16
        if self.channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.gradient_checkpointing:
            _checkpoint(network)
        if self.compile_network:
            _compile(network)
        return denoiser


def _no_gpu(gpus_per_trial: float) -> TrialFailure:
    """On the CPU such a trial would take days, beside a GPU that is paid for."""
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
        found = "there is none that may be used"
    except (RuntimeError, AssertionError) as error:  # no driver, or one too old; a torch without CUDA
        found = str(error).split(". ")[0]
    return TrialFailure(
        "no gpu",
        f"torch must find a GPU where gpus_per_trial is above 0, but got gpus_per_trial {gpus_per_trial:g} and on "
        f"{socket.gethostname()}: {found}; see that nvidia-smi works there, inside of the container where there is "
        "one, and shows a driver that torch takes, or set gpus_per_trial 0",
    )


def _checkpoint(network: nn.Module) -> None:
    if not getattr(network, "_supports_gradient_checkpointing", False):
        raise ValueError(
            "gradient_checkpointing needs a diffusers network that supports it, but got "
            f"{type(network).__name__}; leave it off"
        )
    network.enable_gradient_checkpointing()  # type: ignore[operator]


def _compile(network: nn.Module) -> None:
    # A method with one forward pass for two terms goes backward twice; compiled code would have given its memory away.
    torch._functorch.config.donated_buffer = False
    network.compile()
