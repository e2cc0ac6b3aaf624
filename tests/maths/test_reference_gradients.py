"""The composed gradients against figures from the paper's public implementation."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import UNet2DModel

from trainable.batch import ForgetRetainBatch
from trainable.finetune import composed_gradient
from trainable.methods import METHODS

FIGURES = Path(__file__).parent / "figures" / "losses.npz"


@pytest.fixture(scope="module")
def figures():
    with np.load(FIGURES) as data:
        return dict(data)


@pytest.fixture(scope="module")
def network(figures):
    unet = UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        block_out_channels=(8, 8),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=8,
        dropout=0.0,
    ).double()
    unet.load_state_dict({k[5:]: torch.from_numpy(v) for k, v in figures.items() if k.startswith("unet.")})
    return unet


def batch(figures, rows=slice(None), **extra):
    names = {"retain": "x0", "forget": "a0", "noise": "noise", "timesteps": "timesteps"}
    tensors = {field: torch.from_numpy(figures[name])[rows] for field, name in names.items()}
    return ForgetRetainBatch(**tensors, **{k: torch.from_numpy(v)[rows] for k, v in extra.items()})


def flat(gradient, network):
    return torch.cat([gradient[name].flatten() for name, _ in network.named_parameters()])


def relative_error(gradient, expected):
    expected = torch.from_numpy(expected).double()
    return float((gradient - expected).norm() / expected.norm())


def gradient_of(network, figures, method, batches):
    alphas_cumprod = torch.from_numpy(figures["alphas_cumprod"])
    before = {k: v.clone() for k, v in network.state_dict().items()}
    result = flat(composed_gradient(network, method, batches, alphas_cumprod), network)
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    return result


def cases(figures):
    for key in figures:
        parts = key.split(".")
        if not key.endswith(".grad"):
            continue
        body = key.removesuffix(".grad")
        if parts[0] == "siss":
            lambd = body.removeprefix("siss.").split(".scaling_norm=")[0]
            yield key, "siss", {"lambd": float(lambd), "scaling_norm": float(body.split("scaling_norm=")[1])}
        elif parts[0] == "siss_no_is":
            yield key, "siss_no_is", {"scaling_norm": float(body.split("scaling_norm=")[1])}
        elif parts[0] == "erasediff":
            yield key, "erasediff", {"eta": float(body.split("eta=")[1])}
        elif parts[0] == "naive_del":
            yield key, "naive_deletion", {}
        elif parts[0] == "neg_grad":
            yield key, "neggrad", {"superfactor": float(body.split("superfactor=")[1])}


def extra_for(figures, key, name):
    if name == "siss":
        return {"from_forget": figures[key.split(".scaling_norm=")[0] + ".from_forget"]}
    return {"noise_target": figures["erasediff.uniform_target"]} if name == "erasediff" else {}


def test_every_method_of_the_public_implementation_has_figures(figures):
    published = {"siss", "siss_no_is", "erasediff", "naive_deletion", "neggrad"}
    assert {name for _, name, _ in cases(figures)} == published <= set(METHODS)


def test_gradients_match_the_public_implementation(figures, network):
    errors = {}
    for key, name, settings in cases(figures):
        method = METHODS[name](**settings)
        extra = extra_for(figures, key, name)
        errors[key] = relative_error(gradient_of(network, figures, method, [batch(figures, **extra)]), figures[key])
    assert len(errors) >= 5
    assert max(errors.values()) < 1e-5, errors


def test_accumulation_is_exact(figures, network):
    for key, name, settings in cases(figures):
        method = METHODS[name](**settings)
        extra = extra_for(figures, key, name)
        whole = gradient_of(network, figures, method, [batch(figures, **extra)])
        parts = [batch(figures, rows, **extra) for rows in (slice(0, 2), slice(2, 3), slice(3, None))]
        split = gradient_of(network, figures, method, parts)
        assert float((whole - split).norm() / whole.norm()) < 1e-12, key
