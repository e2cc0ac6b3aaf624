"""Chooses the parameters of the next trial: those that its slot gives as they are, the others by the sampler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from diffusion.rng import derive_seed
from tuning.draft import Draft
from tuning.history import History
from tuning.samplers import METHOD, NEED_ALL, NEED_NONE, Dimensions, make_sampler
from tuning.trial_memory import TrialMemory
from tuning.trial_order import Slot


@dataclass(frozen=True)
class Suggester:
    """How a study's parameters are chosen: a function of (seed, slot, trials in the history).

    Args:
        sampler: name of the sampler.
        dimensions: what is sampled.
        seed: seed of the study.
        num_trials: trials of the study in all.
        max_shown: finished trials that a sampler is shown at most, but for one that needs all; None: every one.
    """

    sampler: str
    dimensions: Dimensions
    seed: int
    num_trials: int
    max_shown: int | None

    def draft(self, slot: Slot, trials: TrialMemory, number: int) -> Draft:
        """A trial to be, of which the method is chosen; of a parameterless method it has no parameters.

        Args:
            slot: what to fill.
            trials: what the sampler may know.
            number: the trial's number to be.
        """
        parameterless = slot.method is not None and slot.method not in self.dimensions.methods
        name = "random" if parameterless else self.sampler
        draft = Draft(
            make_sampler(name, self.dimensions, trials.outlook, seed=self._seed_of(slot), num_trials=self.num_trials),
            trials.view,
            self._shown(name, trials.history),
            number=number,
            given=self._given(slot, parameterless),
            open_names=self.dimensions.open_names(slot.method),
        )
        if not parameterless:
            self.method_of(draft)
        return draft

    def method_of(self, draft: Draft) -> str:
        """The chosen method: a dimension only where more than one has free parameters."""
        methods = self.dimensions.methods
        return draft.suggest_categorical(METHOD, methods) if len(methods) > 1 else methods[0]

    def _seed_of(self, slot: Slot) -> int:
        return derive_seed(self.seed, "sampler", slot.name) >> 32

    def _shown(self, sampler: str, history: History) -> list[Any]:
        if sampler in NEED_NONE:
            return []
        return history.shown(None if sampler in NEED_ALL else self.max_shown)

    def _given(self, slot: Slot, parameterless: bool) -> dict[str, Any]:
        choice = {METHOD: slot.method} if slot.method is not None and len(self.dimensions.methods) > 1 else {}
        return {} if parameterless else {**(slot.params or {}), **choice}
