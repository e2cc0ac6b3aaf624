from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance as TorchmetricsFID

from diffusion.rng import stream
from metrics.bootstrap import bootstrap_counts, ratio_stderr
from metrics.fid import bootstrap_distances
from metrics.gaussian import GaussianStatistics, frechet_distance


def _features(count: int, size: int, seed: int = 0) -> Tensor:
    mixing = torch.randn(size, size, generator=stream(seed, "mixing"), dtype=torch.float64)
    return torch.randn(count, size, generator=stream(seed, "features"), dtype=torch.float64) @ mixing + seed


def test_distance_of_one_dimensional_gaussians_is_its_closed_form() -> None:
    mean, deviation = torch.tensor([[1.0], [4.0]]), torch.tensor([2.0, 7.0])
    covariances = (deviation**2)[:, None, None]

    # (1 - 4)² + (2 - 7)²
    assert frechet_distance(mean[0], covariances[0], mean[1], covariances[1]) == pytest.approx(34.0, rel=1e-12)


def test_distance_of_commuting_gaussians_is_its_closed_form() -> None:
    rotation = torch.linalg.qr(_features(6, 6)).Q
    first, second = torch.tensor([0.0, 1.0, 4.0, 9.0, 1e-9, 2.0]), torch.tensor([1.0, 1.0, 0.0, 25.0, 1e-9, 8.0])
    covariances = [rotation @ torch.diag(values.double()) @ rotation.T for values in (first, second)]

    distance = frechet_distance(torch.zeros(6), covariances[0], torch.ones(6), covariances[1])

    assert distance == pytest.approx(6 + float((first.sqrt() - second.sqrt()).square().sum()), abs=1e-6)


@pytest.mark.parametrize("count", [5, 200], ids=["singular", "regular"])
def test_distance_agrees_with_the_matrix_square_root_of_scipy(count: int) -> None:
    ours, real = GaussianStatistics.of(_features(count, 12, 1)), GaussianStatistics.of(_features(300, 12, 2))
    root = scipy.linalg.sqrtm((ours.covariance @ real.covariance).numpy())
    trace = float(ours.covariance.trace() + real.covariance.trace()) - 2 * float(np.trace(root).real)
    expected = float((ours.mean - real.mean).square().sum()) + trace

    assert frechet_distance(ours.mean, ours.covariance, real.mean, real.covariance) == pytest.approx(expected, rel=1e-5)
    assert frechet_distance(real.mean, real.covariance, ours.mean, ours.covariance) == pytest.approx(expected, rel=1e-5)


def test_distance_to_itself_is_zero_and_never_below() -> None:
    same = GaussianStatistics.of(_features(50, 8))

    assert 0 <= frechet_distance(same.mean, same.covariance, same.mean, same.covariance) < 1e-6


def test_distance_of_identical_images_is_that_to_their_point() -> None:
    real = GaussianStatistics.of(_features(50, 3))
    point = GaussianStatistics.of(torch.ones(4, 3))

    expected = float((real.mean - 1).square().sum() + real.covariance.trace())
    assert frechet_distance(point.mean, point.covariance, real.mean, real.covariance) == pytest.approx(expected)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_distance_of_non_finite_features_is_nan(value: float) -> None:
    mean, covariance = torch.tensor([0.0, value]), torch.eye(2)

    assert math.isnan(frechet_distance(mean, covariance, torch.zeros(2), covariance))


def test_distance_refuses_features_of_two_networks() -> None:
    with pytest.raises(ValueError, match="one feature network"):
        frechet_distance(torch.zeros(2), torch.eye(2), torch.zeros(3), torch.eye(3))


def test_statistics_are_those_of_numpy_however_they_are_cut() -> None:
    features = _features(37, 5) + 1e4

    for size in (1, 7, 37):
        streamed = GaussianStatistics.of(torch.split(features, size))
        np.testing.assert_allclose(streamed.mean, features.numpy().mean(0), rtol=1e-12)
        np.testing.assert_allclose(streamed.covariance, np.cov(features.numpy().T), rtol=1e-9)
        assert streamed.count == 37
    assert streamed.mean.dtype == torch.float64


def test_statistics_of_one_image_have_no_covariance() -> None:
    alone = GaussianStatistics.of(torch.ones(1, 3))

    assert alone.covariance.isnan().all()
    assert torch.equal(alone.mean, torch.ones(3, dtype=torch.float64))


def test_statistics_of_nothing_and_of_images_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        GaussianStatistics.of([torch.zeros(0, 3)])
    with pytest.raises(ValueError, match="flatten them"):
        GaussianStatistics.of(torch.zeros(2, 3, 4))


@pytest.mark.parametrize(("count", "size"), [(40, 6), (6, 10)], ids=["tall", "wide"])
def test_bootstrap_equals_the_distance_of_resampled_features(count: int, size: int) -> None:
    features, real = _features(count, size, 1), GaussianStatistics.of(_features(100, size, 2))
    counts = bootstrap_counts(count, 5, stream(0, "counts"))

    naive = []
    for row in counts:
        drawn = GaussianStatistics.of(features.repeat_interleave(row.long(), dim=0))
        naive.append(frechet_distance(drawn.mean, drawn.covariance, real.mean, real.covariance))

    np.testing.assert_allclose(bootstrap_distances(features, real, counts), naive, rtol=1e-6)


def test_bootstrap_error_is_the_spread_over_fresh_samples() -> None:
    real, parts = GaussianStatistics.of(_features(2000, 3, 1)), torch.split(_features(12000, 3, 2), 200)
    fresh = [GaussianStatistics.of(part) for part in parts]
    spread = np.std([frechet_distance(part.mean, part.covariance, real.mean, real.covariance) for part in fresh])
    errors = [
        bootstrap_distances(part, real, bootstrap_counts(200, 64, stream(index, "counts"))).std()
        for index, part in enumerate(parts)
    ]

    assert np.mean(errors) == pytest.approx(spread, rel=0.25)


def test_bootstrap_replicates_hold_as_many_images_as_there_are() -> None:
    counts = bootstrap_counts(9, 1000, stream(0, "counts"))

    assert (counts.sum(1) == 9).all()
    assert counts.mean(0).numpy() == pytest.approx(np.ones(9), abs=0.15)


def test_paired_replicates_know_the_ratio_as_well_as_fresh_samples_would_tell() -> None:
    real, parts = GaussianStatistics.of(_features(2000, 3, 1)), torch.split(_features(12000, 3, 2), 200)
    worse = [part + 0.3 * torch.randn(200, 3, generator=stream(index, "damage")) for index, part in enumerate(parts)]

    def distance(part: torch.Tensor) -> float:
        return GaussianStatistics.of(part).distance(real)

    spread = np.std([distance(other) / distance(part) for other, part in zip(worse, parts, strict=True)])
    paired, unpaired = [], []
    for index, (other, part) in enumerate(zip(worse, parts, strict=True)):
        same, fresh = (bootstrap_counts(200, 64, stream(index, purpose)) for purpose in ("counts", "other"))
        below = bootstrap_distances(part, real, same).tolist()
        paired.append(ratio_stderr(bootstrap_distances(other, real, same).tolist(), below))
        unpaired.append(ratio_stderr(bootstrap_distances(other, real, fresh).tolist(), below))

    assert np.median(paired) == pytest.approx(spread, rel=0.3)
    assert np.median(unpaired) > 1.5 * np.median(paired)


def test_replicates_that_do_not_pair_tell_nothing() -> None:
    assert math.isnan(ratio_stderr([1.0, 2.0], [1.0]))
    assert math.isnan(ratio_stderr([1.0], [1.0]))
    assert math.isnan(ratio_stderr([1.0, 2.0], [1.0, 0.0]))


class _Features(nn.Module):
    """What torchmetrics takes for a network: a table of features, looked up by number."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table, self.num_features = table, table.shape[1]

    def forward(self, rows: Tensor) -> Tensor:
        return self.table[rows]


@pytest.mark.parametrize(("count", "size"), [(200, 12), (9, 16)], ids=["regular", "singular"])
def test_distance_is_that_of_torchmetrics_on_the_same_features(count: int, size: int) -> None:
    real, fake = _features(300, size, 1), _features(count, size, 2)
    metric = TorchmetricsFID(feature=_Features(torch.cat([real, fake])))
    metric.update(torch.arange(300), real=True)
    metric.update(torch.arange(300, 300 + count), real=False)

    ours = GaussianStatistics.of(fake).distance(GaussianStatistics.of(real))
    assert ours == pytest.approx(float(metric.compute()), rel=1e-6)
