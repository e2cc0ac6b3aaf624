"""Rows of an accumulation window, regrouped so that no backward pass is made for a term that they do not have.

A backward pass costs what its whole graph costs, also for rows whose loss has the weight 0. So rows that lack a term
must lie in a graph without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Final

import torch
from torch import Tensor

from trainable.batch import TERMS, ForgetRetainBatch

KINDS: Final = ((), ("retain",), ("forget",), TERMS)


def by_terms(batches: Sequence[ForgetRetainBatch], weights: Sequence[tuple[Tensor, Tensor]]) -> list[ForgetRetainBatch]:
    """At most three batches: rows of the retain term alone, of the forget term alone, of both; each in their order.

    A row has a term where its weight in it is not 0; NaN is not 0, so that it is not lost. Rows without any term are
    left out: their gradient is 0. Counting the rows is one host synchronisation.

    Args:
        batches: the micro-batches of one optimiser step, all with the same parts.
        weights: of each batch, (B,) of the retain and of the forget term.
    """
    retain, forget = (torch.cat([of[term] for of in weights]) != 0 for term in range(len(TERMS)))
    kinds = retain + 2 * forget.long()  # an index of KINDS
    counts = torch.stack([kinds == kind for kind in range(len(KINDS))]).sum(1).tolist()
    order, window, parts = torch.argsort(kinds, stable=True), ForgetRetainBatch.joined(batches), []
    for terms, last, count in zip(KINDS, accumulate(counts), counts, strict=True):
        if terms and count:
            parts.append(window.take(order[last - count : last], terms))
    return parts
