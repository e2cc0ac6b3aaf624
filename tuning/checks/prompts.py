"""Whether a study's prompts belong to its workload and image, and saved embeddings to its model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trainable.workloads.kinds import KINDS
from trainable.workloads.prompts import EMBEDDING_ARRAY, Prompt, find_prompt, is_embedding
from tuning.model_files import network_config, read_config
from tuning.paths import missing_remedy, safetensors_header
from tuning.problems import Problem

_FLOATS = ("F16", "BF16", "F32", "F64")


def prompt_problems(
    prompts: str | None, guidance_scale: float | None, workload: str, forget: Sequence[str], model: str
) -> list[Problem]:
    """Prompts belong to workloads that take them, which need them; a workload from outside may take them or not."""
    kind = KINDS.get(workload)
    if kind is None:
        return []
    if not kind.takes_prompts:
        if prompts is None and guidance_scale is None:
            return []
        rule = "prompts and guidance_scale must be given to a workload that takes prompts only"
        takers = " or ".join(name for name, other in KINDS.items() if other.takes_prompts)
        return [Problem(rule, f"workload {workload}", f"leave them out, or give --workload {takers}")]
    rule = "prompts must be a UTF-8 YAML file that gives the prompts of the one forget image"
    remedy = "write a list of entries with image, original and modified; see docs/operations.md"
    if prompts is None:
        return [Problem(rule, "none", f"give --prompts FILE; {remedy}")]
    if len(forget) != 1:
        return [Problem(rule, f"{len(forget)} forget images", "run a study for each")]
    try:
        prompt = find_prompt(Path(prompts), forget[0])
    except ValueError as error:
        return [Problem(rule, f"{prompts}, {error}", missing_remedy(prompts, remedy))]
    return _embedding_problems(prompt, model)


def unseen_problems(unseen: str | None, workload: str) -> list[Problem]:
    """Unseen images have no prompt, and without one a text-to-image model gives them no likelihood."""
    kind = KINDS.get(workload)
    if unseen is None or kind is None or not kind.takes_prompts:
        return []
    rule = f"unseen must be left out of a {workload} study, whose likelihoods are of one prompt"
    return [Problem(rule, unseen, "leave it out: other images of the prompt take its place")]


def _embedding_problems(prompt: Prompt, model: str) -> list[Problem]:
    rule = f"a saved prompt must be a whole safetensors file with an array {EMBEDDING_ARRAY!r}"
    expected = _tokens_and_width(model)
    if None not in expected:
        rule += f" of {expected[0]} tokens of the model's width {expected[1]}"
    remedy = f"save what the model's own text encoder gives: save_file({{'{EMBEDDING_ARRAY}': EMBEDDING}}, FILE)"
    saved = [text for text in dict.fromkeys((prompt.original, prompt.modified)) if is_embedding(text)]
    faults = {path: _embedding_fault(Path(path), expected) for path in saved}
    return [Problem(rule, f"{path}, {fault}", remedy) for path, fault in faults.items() if fault is not None]


def _tokens_and_width(model: str) -> tuple[int | None, int | None]:
    """Shape of an embedding that the model takes, as far as it is known."""
    tokens = (read_config(model, "config.json", "text_encoder") or {}).get("max_position_embeddings")
    width = (network_config(model) or {}).get("cross_attention_dim")
    return tokens if isinstance(tokens, int) else None, width if isinstance(width, int) else None


def _embedding_fault(file: Path, expected: tuple[int | None, int | None]) -> str | None:
    if not file.is_file():
        return "which is not there"
    header = safetensors_header(file)
    if header is None:
        return "which is no whole safetensors file"
    entry = header.get(EMBEDDING_ARRAY)
    if entry is None:
        return f"which has {', '.join(name for name in header if name != '__metadata__') or 'nothing'}"
    shape, dtype = entry.get("shape"), entry.get("dtype")
    fits = isinstance(shape, list) and _fits(shape, expected) and dtype in _FLOATS
    return None if fits else f"{dtype} {tuple(shape) if isinstance(shape, list) else shape}"


def _fits(shape: Sequence[object], expected: tuple[int | None, int | None]) -> bool:
    """Whether a shape is (tokens, width) or (1, tokens, width)."""
    rows, found = shape[:-2], shape[-2:]
    sizes = all(want in (None, size) for want, size in zip(expected, found, strict=False))
    return len(found) == 2 and list(rows) in ([], [1]) and sizes
