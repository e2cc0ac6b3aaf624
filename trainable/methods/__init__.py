"""Unlearning methods: losses and a gradient rule, one file each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry import Registry

if TYPE_CHECKING:
    from trainable.methods.method import Method

METHODS: Registry[type[Method]] = Registry(
    "method",
    {
        "siss": "trainable.methods.siss:SISS",
        "siss_no_is": "trainable.methods.siss_no_is:SISSNoIS",
        "erasediff": "trainable.methods.erasediff:EraseDiff",
        "naive_deletion": "trainable.methods.naive_deletion:NaiveDeletion",
        "neggrad": "trainable.methods.neggrad:NegGrad",
        "bernoulli": "trainable.methods.bernoulli:Bernoulli",
        "retrack": "trainable.methods.retrack:ReTrack",
    },
)

__all__ = ["METHODS"]
