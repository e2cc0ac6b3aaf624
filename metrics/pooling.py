"""One measurement of several models: those that one configuration gives for different forget images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from metrics.metric import Measurement


def pooled(measurements: Sequence[Measurement]) -> Measurement:
    """The mean over models; a single measurement is handed on as it is.

    With values v_i and standard errors e_i of n models: value = mean v_i, stderr = sqrt(sum e_i²) / n, which is the
    error of this mean for these forget images, and spread = the sample standard deviation of v_i, which says how much
    another forget image may differ. Resamples at equal positions are averaged: they are of equal draws.

    Raises:
        ValueError: there is no measurement.
    """
    if not measurements:
        raise ValueError("measurements of at least one model must be given, but there are none")
    if len(measurements) == 1:
        return measurements[0]
    values = [measured.value for measured in measurements]
    counts = {len(measured.replicates) for measured in measurements}
    replicates = np.mean([measured.replicates for measured in measurements], axis=0) if len(counts) == 1 else ()
    return Measurement(
        value=sum(values) / len(values),
        stderr=math.sqrt(sum(measured.stderr**2 for measured in measurements)) / len(values),
        num_samples=sum(measured.num_samples for measured in measurements),
        replicates=tuple(float(replicate) for replicate in replicates),
        spread=float(np.std(values, ddof=1)),
    )
