"""Settings of the device change how a network runs: not its weights, its likelihood or what a checkpoint holds."""

import dataclasses
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor2_0

from diffusion.conditioning import ConditionedDenoiser, GuidedDenoiser
from diffusion.precision import allow_tf32, exact_float32
from metrics.likelihood import negative_log_likelihood
from metrics.testing import IMAGE_SHAPE, tiny_denoiser
from scripts.assets_lib.diffusion_training import build_unet
from trainable import device as device_module
from trainable.batch import ForgetRetainBatch
from trainable.device import DeviceSettings
from trainable.failure import TrialFailure
from trainable.finetune import FineTuner, accumulate
from trainable.methods import METHODS
from trainable.trial import TrialRunner
from tuning.schema import StudyConfig

SISS = {"trial_id": "00003", "method": "siss", "lambd": 0.5, "scaling_norm": 5.0, "seed": 11, "repeat": 0}


def prepared(**settings):
    return DeviceSettings(**settings).apply(tiny_denoiser())


def batch(size=8):
    generator = torch.Generator().manual_seed(1)
    retain, forget, noise = torch.randn(3, size, *IMAGE_SHAPE, generator=generator) / 3
    timesteps = torch.linspace(10, 990, size).long()
    return ForgetRetainBatch(retain, forget, noise, timesteps, from_forget=torch.arange(size) % 2 == 0)


def gradients(denoiser):
    """g_x and g_a of SISS, each as one vector."""
    method = METHODS["siss"](lambd=0.5, scaling_norm=5.0)
    tuner = FineTuner(denoiser, method, learning_rate=1e-3, betas=(0.9, 0.999), weight_decay=0.0, max_grad_norm=1.0)
    accumulate(denoiser, method, [batch()], tuner.buffers)
    return [torch.cat([g.flatten() for g in tuner.buffers[term]]) for term in ("retain", "forget")]


def likelihood(denoiser):
    images = torch.rand(2, *IMAGE_SHAPE, generator=torch.Generator().manual_seed(2)) * 2 - 1
    generator = torch.Generator().manual_seed(3)
    return negative_log_likelihood(denoiser, images, generator=generator, num_probes=2, num_evaluations=16)


def relative(value, expected):
    return float((value - expected).norm() / expected.norm())


def test_every_setting_is_a_field_of_the_configuration():
    assert {field.name for field in dataclasses.fields(DeviceSettings)} <= set(StudyConfig.model_fields)


def test_nothing_is_changed_by_default():
    denoiser, data = prepared(), batch()
    assert torch.equal(denoiser(data.noise, data.timesteps), tiny_denoiser()(data.noise, data.timesteps))


def test_bfloat16_gives_the_gradient_to_its_rounding_and_leaves_the_weights_in_float32():
    """A product is rounded by 2^-9, ten in a row forward and ten backward: 4 sqrt(20) 2^-9 allows for amplification."""
    denoiser, data = prepared(precision="bf16"), batch()
    output = denoiser(data.noise, data.timesteps)
    assert output.dtype is torch.float32
    assert not torch.equal(output, tiny_denoiser()(data.noise, data.timesteps))
    for found, expected in zip(gradients(denoiser), gradients(tiny_denoiser()), strict=True):
        assert found.dtype is torch.float32
        assert 1e-5 < relative(found, expected) < 4 * 20**0.5 * 2**-9
    assert {p.dtype for p in denoiser.network.parameters()} == {torch.float32}


def test_the_likelihood_is_the_same_to_the_bit_in_bfloat16():
    assert torch.equal(likelihood(prepared(precision="bf16")).bits_per_dim, likelihood(tiny_denoiser()).bits_per_dim)


@pytest.mark.parametrize("view", ["conditioned", "guided"])
def test_views_compute_in_the_precision_of_what_they_look_at(view):
    denoiser = prepared(precision="bf16")
    views = {
        "conditioned": ConditionedDenoiser(denoiser, {}),
        "guided": GuidedDenoiser(denoiser, {}, {}, scale=1.0),
    }
    data = batch()
    expected = denoiser(data.noise, data.timesteps)
    torch.testing.assert_close(views[view](data.noise, data.timesteps), expected, atol=2e-2, rtol=2e-2)
    assert views[view].autocast is torch.bfloat16


def test_checkpointing_and_channels_last_give_the_same_gradients_and_likelihood():
    expected, bits = gradients(tiny_denoiser()), likelihood(tiny_denoiser()).bits_per_dim
    for setting in ("gradient_checkpointing", "channels_last"):
        denoiser = prepared(**{setting: True})
        for found, plain in zip(gradients(denoiser), expected, strict=True):
            # Another layout adds in another order; how much that is depends on the processor.
            assert relative(found, plain) < 1e-5, setting
        torch.testing.assert_close(likelihood(denoiser).bits_per_dim, bits, rtol=1e-6, atol=0)
    assert denoiser.network.conv_in.weight.is_contiguous(memory_format=torch.channels_last)


def test_checkpointing_computes_activations_twice():
    calls = []
    network = prepared(gradient_checkpointing=True).network
    network.down_blocks[0].resnets[0].register_forward_pre_hook(lambda *_: calls.append(1))
    data = batch(2)
    network(data.noise, data.timesteps).sample.sum().backward()
    assert len(calls) == 2


def test_a_network_that_cannot_checkpoint_is_refused():
    denoiser = tiny_denoiser()
    denoiser.network = torch.nn.Conv2d(1, 1, 1)
    with pytest.raises(ValueError, match=r"gradient_checkpointing needs .* but got Conv2d; leave it off"):
        DeviceSettings(gradient_checkpointing=True).apply(denoiser)


@pytest.mark.slow
def test_a_compiled_network_keeps_its_names_and_gives_the_same(monkeypatch):
    """Traced as for real, forward and backward; only the code generator is left out, which needs a minute."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    denoiser = prepared(compile_network=True)
    assert denoiser.network.state_dict().keys() == tiny_denoiser().network.state_dict().keys()
    assert denoiser.network._compiled_call_impl is not None
    for found, expected in zip(gradients(denoiser), gradients(tiny_denoiser()), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    bits = likelihood(denoiser).bits_per_dim
    torch.testing.assert_close(bits, likelihood(tiny_denoiser()).bits_per_dim, rtol=1e-6, atol=0)
    torch._dynamo.reset()


def test_a_trial_runs_under_all_settings_and_writes_plain_weights(plan, tmp_path):
    device = DeviceSettings(precision="bf16", allow_tf32=True, channels_last=True, gradient_checkpointing=True)
    source = dataclasses.replace(plan.source, device=device)
    runner = TrialRunner(dataclasses.replace(plan, source=source, metrics=("sscd", "nll"), candidates=tmp_path))
    runner.start(SISS)
    report = runner.advance()
    assert torch.isfinite(torch.tensor([report["sscd"], report["nll"]])).all()
    runner.workloads[0].save_pipeline(runner.denoiser.network, tmp_path / "pipeline")
    network = runner.workloads[0].load(str(tmp_path / "pipeline")).network
    weights = runner.denoiser.network.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())
    assert all(value.is_contiguous() for value in network.state_dict().values())


def test_networks_attend_by_torchs_fused_kernel():
    """diffusers' AttnProcessor2_0 calls scaled_dot_product_attention: nothing is to be switched on."""
    conditional = UNet2DConditionModel(
        sample_size=8, block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4, cross_attention_dim=8,
        attention_head_dim=4, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )  # fmt: skip
    for network in (build_unet(), conditional):
        layers = [module for module in network.modules() if isinstance(module, Attention)]
        assert layers
        assert {type(layer.processor) for layer in layers} == {AttnProcessor2_0}


def test_tf32_is_one_setting_and_off_where_values_must_be_exact():
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    try:
        allow_tf32(True)
        assert tf32() == (True, True)
        with exact_float32():
            assert tf32() == (False, False)
        assert tf32() == (True, True)
        allow_tf32(False)
        assert tf32() == (False, False)
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def tf32():
    """As torch's newer interface reads it, and as the older one does without raising."""
    backends = torch.backends
    newer = (backends.cuda.matmul.fp32_precision == "tf32", backends.cudnn.conv.fp32_precision == "tf32")
    assert newer == (backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32)
    return newer


@pytest.mark.parametrize(("share", "capped"), [(0.25, [0.25]), (0.0, []), (1.0, []), (2.0, [])])
def test_a_worker_keeps_to_its_part_of_a_gpu(monkeypatch, share, capped):
    fractions, switched = [], []
    cuda = SimpleNamespace(is_available=lambda: True, set_per_process_memory_fraction=fractions.append)
    monkeypatch.setattr(device_module.torch, "cuda", cuda)
    monkeypatch.setattr(device_module, "allow_tf32", switched.append)
    assert DeviceSettings(gpus_per_trial=share, allow_tf32=True).claim() == torch.device("cuda")
    assert (fractions, switched) == (capped, [True])


def test_without_a_gpu_nothing_is_set(monkeypatch):
    monkeypatch.setattr(device_module.torch.cuda, "is_available", lambda: False)
    before = torch.get_float32_matmul_precision()
    assert DeviceSettings(allow_tf32=True).claim() == torch.device("cpu")
    assert torch.get_float32_matmul_precision() == before


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (RuntimeError("Found no NVIDIA driver on your system. Please check that"), ": Found no NVIDIA driver on your"),
        (AssertionError("Torch not compiled with CUDA enabled"), ": Torch not compiled with CUDA enabled;"),
        (None, ": there is none that may be used;"),
    ],
)
def test_a_trial_that_is_to_have_a_gpu_does_not_run_without_one(monkeypatch, found, says):
    def init():
        if found:
            raise found

    monkeypatch.setattr(device_module.torch, "cuda", SimpleNamespace(is_available=lambda: False, init=init))
    says_all = r"torch must find a GPU .* got gpus_per_trial 0\.5 .* nvidia-smi"
    with pytest.raises(TrialFailure, match=says_all) as failure:
        DeviceSettings(gpus_per_trial=0.5).claim()
    assert failure.value.reason == "no gpu"
    assert says in failure.value.detail
    assert "Please check" not in failure.value.detail
