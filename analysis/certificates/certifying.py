"""From what is asked for to a certificate's content, and the checks of one that need the study; touches models."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from analysis.candidate_model import CandidateFiles, open_source, reading
from analysis.certificates.check import Check, same_check
from analysis.certificates.document import plain
from analysis.certificates.files_verifying import files_checks, order_checks, study_checks
from analysis.certificates.making import (
    NUM_NONCES,
    Order,
    asked_of,
    chosen_of,
    computed_on,
    content_of,
    directions_of,
    file_entry,
    inputs_of,
    models_of,
    parts_of,
    study_of,
)
from analysis.certificates.measuring import Measuring, Run
from analysis.certificates.values_verifying import computer_check, values_checks
from analysis.inputs import INPUTS, with_inputs_here
from analysis.load import Study, StudyError
from analysis.member import Member, find_member
from analysis.progress import Watch
from diffusion.rng import derive_seed
from trainable.content import file_digest
from trainable.plan import Source

ForgetSets = Sequence[Sequence[str]]


def order_of(
    study: Study, member: Member, image: str | None, nonce: int | None, *, most_unseen: int, inputs: Path | None
) -> Order:
    """What a certificate is asked for, once its inputs are found on this machine.

    Args:
        study: as `load_study` reads it.
        member: which model.
        image: of a study that unlearned its forget images one at a time, which of them, by its name or the beginning of
            its file's SHA-256; all where it is left out.
        nonce: what seeds are made from, with the study's own; drawn by chance where it is left out.
        most_unseen: images that the forget image is compared with, at most.
        inputs: where to look for models and images that are not where the study had them.

    Raises:
        StudyError: an input is not there, or no forget image is called so.
    """
    config = with_inputs_here(study.config, INPUTS, inputs)
    every = open_source(config).settings.forget_sets
    sets = tuple(range(len(every))) if image is None else (_set_of(every, image),)
    drawn = secrets.randbelow(NUM_NONCES) if nonce is None else nonce
    seed = derive_seed(config.seed, "certificate", drawn)
    return Order(
        study=study,
        config=config,
        member=member,
        sets=sets,
        nonce=drawn,
        nonce_is_given=nonce is not None,
        seed=seed,
        most_unseen=most_unseen,
    )


def certify(order: Order, watch: Watch) -> dict[str, Any]:
    """Measure, and conclude.

    Args:
        order: what is asked for.
        watch: is told of the work.

    Raises:
        StudyError: a model, its weights or what it is measured by is not there, or cannot be read.
    """
    source, files = _opened(order)
    with reading():
        models, inputs = models_of(order, files), inputs_of(order.config)
        run = _run(order, source, files, watch)
        return content_of(order, run, _forget(order, source), models, inputs)


def files_still_the_same(order: Order, content: Mapping[str, Any]) -> list[Check]:
    """Whether study, seed, fidelity, weights, configurations and images are those that were certified.

    Raises:
        StudyError: as `certify`.
    """
    source, files = _opened(order)
    with reading():
        forget = [
            file_entry(path, may_name=order.config.log_forget_images) for of in _forget(order, source) for path in of
        ]
        return [
            *study_checks(content, {"study": study_of(order), "chosen": chosen_of(order)}),
            *order_checks(content, order),
            *files_checks(content, models_of(order, files), forget, inputs_of(order.config)),
        ]


def values_still_the_same(order: Order, content: Mapping[str, Any], watch: Watch) -> list[Check]:
    """Whether the models measure the same again, from the seeds that the certificate records.

    Raises:
        StudyError: as `certify`.
    """
    source, files = _opened(order)
    with reading():
        run = _run(order, source, files, watch)
        asked = [image for of in asked_of(order, run, _forget(order, source)) for image in of]
    return [
        same_check("forget images as decoded", content["asked"], asked),
        same_check("labels", content["labels"], plain(dict(run.labels))),
        same_check("directions", content["directions"], directions_of(run)),
        *values_checks(content, parts_of(run)),
        computer_check(content, computed_on(run)),
    ]


def order_again(study: Study, content: Mapping[str, Any], inputs: Path | None) -> Order:
    """The order that a certificate answered.

    Raises:
        StudyError: the study does not have the model or the images that it is about.
    """
    chosen = content["chosen"]
    member = find_member(study, str(chosen["trial_id"]), int(chosen["step"]))
    most = int(content["measured_with"]["num_compared"])
    order = order_of(study, member, None, int(content["seeds"]["nonce"]), most_unseen=most, inputs=inputs)
    every = open_source(order.config).settings.forget_sets
    if len(content["parts"]) == len(every):
        return order
    sets = tuple(_set_of(every, str(image["file_sha256"])) for image in content["asked"])
    return replace(order, sets=sets)


def _set_of(every: ForgetSets, image: str) -> int:
    """Which forget set an image is, by its name or its file's hash."""
    if len(every) == 1:
        raise StudyError(
            f"an image can be chosen where forget images are unlearned one at a time, but got {image!r}; leave --image "
            "out: the study has one model for all of its images"
        )
    hashes = [file_digest(Path(of[0])) for of in every]
    found = [index for index, of in enumerate(every)
             if Path(of[0]).stem == image or hashes[index].startswith(image.lower())]  # fmt: skip
    if len(found) != 1:
        known = ", ".join(digest[:12] for digest in hashes)
        raise StudyError(
            f"an image must be one of the study's, by its name or the beginning of its file's SHA-256, but got "
            f"{image!r}, which is {len(found)} of them; they begin with {known}"
        )
    return found[0]


def _opened(order: Order) -> tuple[Source, CandidateFiles]:
    source = open_source(order.config)
    return source, CandidateFiles.of(order.study, source, order.member.trial_id, order.member.step)


def _forget(order: Order, source: Source) -> ForgetSets:
    return [source.settings.forget_sets[index] for index in order.sets]


def _run(order: Order, source: Source, files: CandidateFiles, watch: Watch) -> Run:
    return Measuring(order.config, source, files, order.sets, order.seed, order.most_unseen, watch).run()
