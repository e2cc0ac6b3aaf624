"""A certificate's content: what was asked, which models, what was measured, and what follows; no torch by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from analysis.certificates.concluding import judged, together
from analysis.certificates.digests import network_digest, pipeline_digests, place_digest, weights_digest
from analysis.certificates.document import plain
from analysis.certificates.limits import limits
from analysis.certificates.page_versions import page_versions
from analysis.certificates.standings import UNLEARNED
from analysis.configurations import parameter_names
from analysis.load import Study, StudyError
from analysis.member import Member
from metrics import METRICS
from trainable.content import file_digest
from tuning.baseline import RETRAINED, UNTOUCHED
from tuning.schema import StudyConfig
from tuning.versions import versions

if TYPE_CHECKING:
    from analysis.candidate_model import CandidateFiles
    from analysis.certificates.measuring import Part, Run

#: Fields of the configuration that measurements depend on besides the models and the forget images.
_LOOKED_AT: Final = ("retain", "unseen", "descriptor", "features", "classifier", "clip", "prompts")
SEED_RULE: Final = "derive_seed(study seed, 'certificate', nonce)"
#: A nonce is a whole number below it.
NUM_NONCES: Final = 2**32
_SHORT: Final = 12  # hexadecimal digits that tell images apart


@dataclass(frozen=True)
class Order:
    """What a certificate is asked for.

    Attributes:
        study: as `load_study` reads it.
        config: its configuration, the inputs where they are on this machine.
        member: which model.
        sets: which of the study's forget sets.
        nonce: what seeds are made from, with the study's own.
        nonce_is_given: whether who asked named it; else it was drawn by chance.
        seed: of all noise.
        most_unseen: images to compare with, at most.
    """

    study: Study
    config: StudyConfig
    member: Member
    sets: tuple[int, ...]
    nonce: int
    nonce_is_given: bool
    seed: int
    most_unseen: int


def content_of(
    order: Order,
    run: Run,
    forget: Sequence[Sequence[str]],
    models: Mapping[str, Any],
    inputs: Mapping[str, str],
) -> dict[str, Any]:
    """All that is certified, plain.

    Args:
        order: what was asked for.
        run: what was measured.
        forget: the image files of each forget set.
        models: `models_of`, from before they were measured.
        inputs: `inputs_of`.
    """
    config = order.config
    asked = asked_of(order, run, forget)
    parts = [_concluded(part, images, config) for part, images in zip(parts_of(run), asked, strict=True)]
    outcome, sentence = together(parts)
    return dict(plain({
        "outcome": outcome,
        "verdict": sentence,
        "study": study_of(order),
        "made": {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": versions(),
            "page": page_versions(),
        },
        "asked": [image for of_set in asked for image in of_set],
        "chosen": chosen_of(order),
        "models": models,
        "inputs": inputs,
        "seeds": {
            "nonce": order.nonce,
            "given": order.nonce_is_given,
            "seed": order.seed,
            "rule": SEED_RULE,
        },
        "measured_with": {**config.final_fidelity, "num_compared": order.most_unseen, **computed_on(run)},
        "labels": dict(run.labels),
        "directions": directions_of(run),
        "parts": parts,
        "limits": limits(parts[0]["membership"], models),
    }))  # fmt: skip


def asked_of(order: Order, run: Run, forget: Sequence[Sequence[str]]) -> list[list[dict[str, Any]]]:
    """What a certificate says of each forget set's images, plain.

    Args:
        order: what was asked for.
        run: has the images as they were measured.
        forget: the image files of each forget set.

    Raises:
        StudyError: several images are in one file.
    """
    may_name = order.config.log_forget_images
    return [_asked(paths, part, may_name) for paths, part in zip(forget, run.parts, strict=True)]


def directions_of(run: Run) -> dict[str, str]:
    """Metric → which way a search wants it, so that the page is made of the content alone."""
    return {name: METRICS[name].direction for name in run.parts[0].measured[UNLEARNED] if name in METRICS}


def computed_on(run: Run) -> dict[str, Any]:
    """What computed it, which a certificate records and nobody can check afterwards."""
    return {"device": run.device, "num_threads": run.num_threads, "rows": run.rows}


def study_of(order: Order) -> dict[str, Any]:
    """What a certificate says of the study, plain."""
    config = order.config
    return dict(plain({
        "name": order.study.name,
        "seed": config.seed,
        "workload": config.workload,
        "forget_separately": config.forget_separately,
        "constraints": [str(constraint) for constraint in config.constraints],
    }))  # fmt: skip


def chosen_of(order: Order) -> dict[str, Any]:
    """What it says of the model, plain."""
    member = order.member
    return dict(plain({
        "trial_id": member.trial_id,
        "step": member.step,
        "method": member.row["method"],
        "settings": _settings(order.study, member.row),
        "training_seed": int(member.row["seed"]),
        "on_front": member.is_on_front,
        "why": member.why,
    }))  # fmt: skip


def models_of(order: Order, files: CandidateFiles) -> dict[str, Any]:
    """The hashes of all models' weights and configurations.

    Raises:
        StudyError: a model is not on this machine.
    """
    config = order.config
    found: dict[str, Any] = {UNTOUCHED: _pipeline(config.model)}
    found[UNLEARNED] = [_weights(files, index) for index in order.sets]
    if config.retrained_model is not None:
        found[RETRAINED] = _pipeline(config.retrained_model)
    return found


def inputs_of(config: StudyConfig) -> dict[str, str]:
    """Field → SHA-256 of what it names; a hub id stands for itself."""
    places = {name: getattr(config, name) for name in _LOOKED_AT if getattr(config, name) is not None}
    return {name: place_digest(Path(of)) if Path(of).exists() else of for name, of in places.items()}


def shown_name(image: Mapping[str, Any]) -> str:
    """How a forget image is called: by its name where it may be, else by the beginning of its hash."""
    return str(image.get("name") or f"image {image['pixels_sha256'][:_SHORT]}")


def file_entry(path: str, *, may_name: bool) -> dict[str, Any]:
    """What a certificate says of a forget image's file; its name only where `log_forget_images` allows it."""
    name = {"name": Path(path).stem} if may_name else {}
    return {**name, "file_sha256": file_digest(Path(path))}


def known_by(asked: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What a part says of its images, of all that is said of them."""
    return [{"shown": image["shown"], "pixels_sha256": image["pixels_sha256"]} for image in asked]


def _asked(paths: Sequence[str], part: Part, may_name: bool) -> list[dict[str, Any]]:
    from analysis.certificates.measuring import pixels_digest

    if len(paths) != len(part.pixels):
        raise StudyError(
            f"every forget image must be a file of its own, but {len(part.pixels)} images are in {len(paths)} files; "
            "start the study with one picture a file"
        )
    images = []
    for path, pixels in zip(paths, part.pixels, strict=True):
        height, width, channels = pixels.shape
        image = {**file_entry(path, may_name=may_name), "pixels_sha256": pixels_digest(pixels)}
        image |= {"width": width, "height": height, "channels": channels}
        images.append({"shown": shown_name(image), **image})
    return images


def parts_of(run: Run) -> list[dict[str, Any]]:
    """Of each forget set ``metrics`` and ``membership``, plain: all that was measured, without what follows."""
    return [_measured(part, run) for part in run.parts]


def _measured(part: Part, run: Run) -> dict[str, Any]:
    statistics = {
        statistic: {model: of[statistic] for model, of in part.statistics.items()}
        for statistic in part.statistics[UNLEARNED]
    }
    membership = {
        "is_unseen": run.is_unseen,
        "num_unseen": run.num_unseen,
        "num_copies_left_out": run.num_copies,
        "statistics": statistics,
    }
    return dict(plain({"metrics": part.entries(), "membership": membership}))


def _concluded(measured: Mapping[str, Any], images: Sequence[Mapping[str, Any]], config: StudyConfig) -> dict[str, Any]:
    names = [str(image["shown"]) for image in images]
    constraints = [str(bound) for bound in config.constraints]
    return {"images": known_by(images), **measured, **judged(measured, names, constraints)}


def _settings(study: Study, row: Mapping[str, Any]) -> dict[str, Any]:
    """The method's hyper-parameters; NaN is what another method has."""
    given = {name: row[name] for name in parameter_names(study.reports)}
    return {name: value for name, value in given.items() if value == value}


def _pipeline(model: str) -> dict[str, Any]:
    hub_id = {} if Path(model).is_absolute() else {"hub_id": model}
    return {**hub_id, "weights_sha256": network_digest(model), "files": pipeline_digests(model)}


def _weights(files: CandidateFiles, index: int) -> dict[str, Any]:
    with files.weights_at_hand(index) as file:
        found: dict[str, Any] = {"weights_sha256": weights_digest([file]), "file_sha256": file_digest(file)}
    with files.pipeline_at_hand(index) as pipeline:
        if pipeline is not None:
            found["files"] = pipeline_digests(str(pipeline))
    return found
