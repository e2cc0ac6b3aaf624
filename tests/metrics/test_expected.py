"""What a measurement is expected to take is what it takes."""

from __future__ import annotations

import pytest
import torch

from metrics import METRICS, measure
from metrics.expected import FORWARD, WITH_BACKWARD, Sizes, expected_rows
from metrics.testing import TINY_FIDELITY, tiny_denoiser, tiny_evidence


def rows_of(names: list[str], num_forget: int) -> int:
    """Rows that went through the network, those that were differentiated three times."""
    rows, denoiser = 0, tiny_denoiser()

    def count(_: object, arguments: tuple[torch.Tensor, ...]) -> None:
        nonlocal rows
        rows += len(arguments[0]) * (WITH_BACKWARD if torch.is_grad_enabled() else FORWARD)

    denoiser.network.register_forward_pre_hook(count)
    measure(names, tiny_evidence(denoiser, num_forget=num_forget))
    return rows


@pytest.mark.parametrize(
    "chosen",
    [None, ["nll"], ["sscd", "membership_loss"], ["fid"], ["nll_neighbours", "sscd_neighbours"]],
    ids=lambda chosen: " ".join(chosen or ["all"]),
)
def test_every_metric_takes_what_is_expected(chosen: list[str] | None) -> None:
    names = chosen or [name for name in METRICS if not METRICS[name].needs_prompts]
    assert expected_rows(names, TINY_FIDELITY, Sizes(3, num_neighbours=3)) == rows_of(names, num_forget=3)


def test_a_model_that_takes_prompts_is_looked_at_by_its_samples() -> None:
    sizes = Sizes(1, num_neighbours=0, is_prompted=True, rows_per_sample=2)
    of_samples = 2 * TINY_FIDELITY.num_images * TINY_FIDELITY.num_sampling_steps
    assert expected_rows(["sscd"], TINY_FIDELITY, sizes) == of_samples
    assert expected_rows(["sscd", "sscd_original", "clip_iqa"], TINY_FIDELITY, sizes) == of_samples


def test_nothing_takes_nothing() -> None:
    assert expected_rows([], TINY_FIDELITY, Sizes(1, 3)) == 0
