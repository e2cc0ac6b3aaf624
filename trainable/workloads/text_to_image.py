"""Text-to-image pipelines: a Stable Diffusion that has memorised an image under a prompt, as in arXiv 2503.01034.

Unlearning trains on the *modified* prompt, under which the model makes the memorised image and others; the images made
are labelled, and split into forget and retain images. Models are judged under the modified and the original prompt.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from diffusion.conditioning import ConditionedDenoiser, GuidedDenoiser
from diffusion.denoiser import Denoiser
from diffusion.rng import stream
from metrics.clusters import Clusters
from metrics.gaussian import GaussianStatistics
from metrics.neighbours import nearest_neighbours
from metrics.space import ModelSpace
from metrics.sscd_original import MODIFIED, ORIGINAL
from metrics.subject import Subject
from trainable.batch import ForgetRetainBatch
from trainable.workloads.encoders import Encoders, open_all
from trainable.workloads.images import load_images, to_unit_range
from trainable.workloads.kinds import TEXT_TO_IMAGE, PipelineKind, require_kind
from trainable.workloads.labelled_images import LabelledImages, load_labelled
from trainable.workloads.prompts import Prompt, find_prompt
from trainable.workloads.rows import draw_rows, nearest_by_distance, nearest_of
from trainable.workloads.stable_diffusion import Moments, StableDiffusion
from trainable.workloads.workload import Prepared, Workload

#: What Stable Diffusion's pipelines sample with unless told otherwise.
DEFAULT_GUIDANCE_SCALE = 7.5
_CONDITION = "encoder_hidden_states"
_LATENT_LABELS = {"nll": "NLL (of the latent)", "nll_neighbours": "NLL of neighbours (of the latent)"}


@dataclass(frozen=True, kw_only=True)
class PreparedPrompt(Prepared):
    """Besides what every workload prepares: all that the VAE and the text encoder have to say, once per study.

    Attributes:
        memorised_image: latent moments of the memorised image, (1, c, h, w).
        forget: of the images made that are memorised.
        retain: of those that are not.
        prompts: name → embedding (1, tokens, width): modified, original and the empty prompt "".
        clusters: of the descriptors of both kinds, for memorised_share.
    """

    memorised_image: Moments
    forget: Moments
    retain: Moments
    prompts: Mapping[str, Tensor]
    clusters: Clusters


class TextToImageWorkload(Workload):
    """A Stable Diffusion pipeline, a prompt file, the memorised image, and labelled images of the modified prompt."""

    kind: ClassVar[PipelineKind | None] = TEXT_TO_IMAGE

    def load(self, model: str) -> Denoiser:
        require_kind(self.kind, model)
        return self._pipeline.denoiser(model)

    def save_pipeline(self, network: nn.Module, directory: Path) -> None:
        self._pipeline.save(copy.deepcopy(network).cpu().eval(), directory)

    def offload(self) -> None:
        self._pipeline.offload()

    def batch(
        self, prepared: Prepared, seed: int, step: int, index: int, size: int, *, with_neighbours: bool = False
    ) -> ForgetRetainBatch:
        known = _own(prepared)
        place = (seed, step, index)
        rows = draw_rows(self._pipeline.scheduler, len(known.retain), len(known.forget), place, size)
        retain, forget = known.retain[rows.retain], known.forget[rows.forget]
        draws = {
            name: torch.randn(retain.mean.shape, generator=stream(seed, name, step, index))
            for name in ("noise", "retain posterior", "forget posterior")
        }
        neighbours = known.retain.mean[nearest_of(prepared)[rows.forget]].to(self.device) if with_neighbours else None
        condition = known.prompts[MODIFIED]
        return ForgetRetainBatch(
            retain=retain.sample(draws["retain posterior"]).to(self.device),
            forget=forget.sample(draws["forget posterior"]).to(self.device),
            noise=draws["noise"].to(self.device),
            timesteps=rows.timesteps.to(self.device),
            neighbours=neighbours,
            condition={_CONDITION: condition.expand(size, *condition.shape[1:]).to(self.device)},
        )

    def prepare(self, num_nearest: int = 0) -> Prepared:
        forget, retain = self._images_of(memorised=True), self._images_of(memorised=False)
        forget_moments, retain_moments = self._pipeline.moments(forget), self._pipeline.moments(retain)
        memorised = self._pipeline.moments(self.memorised_image)
        self.offload()
        names = {MODIFIED: self.prompt.modified, ORIGINAL: self.prompt.original, "": ""}
        embeddings = dict(zip(names, self._pipeline.embed(list(names.values())), strict=True))
        nearest = None
        if num_nearest:
            nearest = nearest_by_distance(forget_moments.mean, [retain_moments.mean], num_nearest)
        described, count = self._described(retain), min(self.settings.num_neighbours, len(retain))
        return PreparedPrompt(
            real_statistics=self._statistics(retain),
            neighbours=nearest_neighbours(self._described(self.memorised_image), described, count),
            nearest=nearest,
            memorised_image=memorised,
            forget=forget_moments,
            retain=retain_moments,
            prompts=embeddings,
            clusters=Clusters.of(self._described(forget), described),
        )

    def subject(self, prepared: Prepared) -> Subject:
        known, retain = _own(prepared), self._images_of(memorised=False)
        count = min(self.settings.num_retain_images, len(retain))
        fixed = torch.linspace(0, len(retain) - 1, count).long()
        encoders = self.encoders
        return Subject(
            forget=self._on_device(self.memorised_image),
            neighbours=self._on_device(retain[prepared.neighbours]),
            retain=self._on_device(retain[fixed]),
            descriptor=encoders.descriptor,
            features=encoders.features,
            classifier=encoders.classifier,
            real_statistics=prepared.real_statistics,
            labels={**encoders.labels, **_LATENT_LABELS},
            quality=encoders.quality,
            memorised=known.clusters.is_memorised,
            latent=self._space(known, prepared.neighbours, fixed),
        )

    def unmemorised(self, prepared: Prepared, unseen: str | None) -> Subject:
        """The sample of images that the modified prompt makes besides the memorised one."""
        subject = self.subject(prepared)
        latent = replace(subject.space, forget=subject.space.retain)
        return replace(subject, forget=subject.retain, latent=latent)

    @cached_property
    def prompt(self) -> Prompt:
        """The entry of the prompt file for the forget image.

        Raises:
            ValueError: there is no prompt file, or it has no entry for the image.
        """
        path = self.settings.prompts
        try:
            if path is None:
                raise ValueError("none")
            return find_prompt(Path(path), self.settings.forget[0])
        except ValueError as error:
            rule = "prompts must be a UTF-8 YAML file that gives the prompts of the forget image"
            raise ValueError(f"{rule}, but got {path}, {error}") from error

    @cached_property
    def memorised_image(self) -> Tensor:
        """uint8 (1, 3, H, W).

        Raises:
            ValueError: more than one is given: a prompt has memorised one.
        """
        if len(self.settings.forget) != 1:
            raise ValueError(
                f"forget must be the one image that the prompt has memorised, but got {len(self.settings.forget)}; "
                "run a study for each"
            )
        return load_images(self.settings.forget[0], channels=3, size=self._pipeline.image_size)

    @cached_property
    def labelled(self) -> LabelledImages:
        """Images of the modified prompt.

        Raises:
            ValueError: as ``load_labelled``, or the memorised image itself is labelled as not memorised.
        """
        labelled = load_labelled(self.settings.retain, channels=3, size=self._pipeline.image_size)
        copies = (labelled.images == self.memorised_image).flatten(1).all(1) & ~labelled.memorised
        if bool(copies.any()):
            raise ValueError(
                f"the memorised image must not be labelled as not memorised, but image {int(copies.nonzero()[0]) + 1} "
                f"of {self.settings.retain} is {self.settings.forget[0]}; label it as memorised"
            )
        return labelled

    @cached_property
    def _pipeline(self) -> StableDiffusion:
        require_kind(self.kind, self.settings.model)
        return StableDiffusion(self.settings.model, self.device)

    @cached_property
    def encoders(self) -> Encoders:
        """The networks behind metrics; a subclass may bring others."""
        return open_all(self.settings, self.device)

    def _space(self, known: PreparedPrompt, neighbours: Tensor, fixed: Tensor) -> ModelSpace:
        conditions = {name: {_CONDITION: value} for name, value in known.prompts.items()}
        given = self.settings.guidance_scale
        scale = DEFAULT_GUIDANCE_SCALE if given is None else given
        return ModelSpace(
            forget=known.memorised_image.mean.to(self.device),
            neighbours=known.retain.mean[neighbours].to(self.device),
            retain=known.retain.mean[fixed].to(self.device),
            decode=self._pipeline.decode,
            trained=partial(ConditionedDenoiser, condition=conditions[MODIFIED]),
            prompts={
                name: partial(GuidedDenoiser, condition=conditions[name], unconditional=conditions[""], scale=scale)
                for name in (MODIFIED, ORIGINAL)
            },
            data_bits=0.0,
        )

    def _images_of(self, *, memorised: bool) -> Tensor:
        return self.labelled.images[self.labelled.memorised == memorised]

    def _on_device(self, images: Tensor) -> Tensor:
        return to_unit_range(images).to(self.device)

    @torch.no_grad()
    def _described(self, images: Tensor) -> Tensor:
        return torch.cat([self.encoders.descriptor(self._on_device(block)).cpu() for block in torch.split(images, 64)])

    @torch.no_grad()
    def _statistics(self, retain: Tensor) -> GaussianStatistics | None:
        features = self.encoders.features
        if features is None:
            return None
        return GaussianStatistics.of(features(self._on_device(block)) for block in torch.split(retain, 64))


def _own(prepared: Prepared) -> PreparedPrompt:
    if not isinstance(prepared, PreparedPrompt):
        raise TypeError(f"text_to_image needs what its own prepare() answers, but got {type(prepared).__name__}")
    return prepared
