"""A certificate as one HTML page that needs no network and prints on A4; made of its content alone; no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from analysis import page
from analysis.certificates.document import digest, number
from analysis.certificates.figure import strip_figure
from analysis.certificates.findings import BROKEN, KEPT, UNDECIDED
from analysis.certificates.intervals import interval_text
from analysis.certificates.standings import LOSS, MODELS, NLL, UNLEARNED
from analysis.table import with_error
from metrics.membership_inference import resolution
from tuning.baseline import RETRAINED, UNTOUCHED

_STYLE = """
<style>
.verdict { border-left: .5rem solid; padding: .8rem 1.2rem; margin: 1.2rem 0; }
.verdict p { margin: .3rem 0; } .verdict strong { font-size: 1.25rem; }
.kept { background: #e8f4ea; border-color: #1b5e20; } .broken { background: #fdecea; border-color: #8c1d18; }
.open { background: #fff6d8; border-color: #6b4e00; }
code { font: 12.5px ui-monospace, monospace; overflow-wrap: anywhere; }
td code { white-space: normal; } td.wide { white-space: normal; text-align: left; min-width: 14rem; }
table { width: 100%; display: table; margin: 1rem 0; } table.numbers th { white-space: normal; vertical-align: bottom; }
table.numbers td { white-space: normal; min-width: 4rem; } table.numbers td:first-child { min-width: 9rem; }
table.text td { text-align: left; white-space: normal; vertical-align: top; }
table.text th { text-align: left; } table.text td:first-child { white-space: nowrap; width: 1%; }
h3 { margin: 2rem 0 .4rem; }
figure.drawing { display: block; margin: .5rem 0 1rem; }
figure.drawing svg { width: 100%; max-width: 760px; height: auto; }
@page { size: A4; margin: 16mm 14mm; }
@media print {
  body { font-size: 10.5pt; margin: 0; padding: 0; max-width: none; } table { font-size: 8.5pt; display: table; }
  code { font-size: 7.5pt; } h2 { margin-top: 1.4rem; } th, td { padding: .15rem .4rem; }
  tr, figure, .verdict { break-inside: avoid; } h2, h3 { break-after: avoid; }
  table.numbers td, table.numbers th { white-space: normal; }
  .verdict, th { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
</style>
"""
_KIND: Final = {KEPT: "kept", BROKEN: "broken", UNDECIDED: "open"}
_SIGN: Final = {KEPT: "✓ kept", BROKEN: "✗ broken", UNDECIDED: "? not enough evidence"}
_HEAD: Final = {
    KEPT: "No trace found",
    BROKEN: "A rule is broken",
    UNDECIDED: "Not enough evidence",
}
_WANTED: Final = {"minimize": "lower", "maximize": "higher"}
_STATISTICS: Final = {
    NLL: "negative log-likelihood, bits per dimension (left: better known)",
    LOSS: "denoising loss, mean logarithm over timesteps (left: better known)",
}


def certificate_page(content: Mapping[str, Any]) -> str:
    """The page of a certificate's content, plain as it stands in the file."""
    sections = [
        _STYLE,
        _heading(content),
        page.Section("What was to be forgotten", tuple(_asked(content))).html,
        page.Section("The models", tuple(_models(content))).html,
        *(part for entry in content["parts"] for part in _part(content, entry)),
        page.Section("What this does not prove", (_list(content["limits"]),)).html,
        page.Section("How it was measured, and how to check it", tuple(_how(content))).html,
    ]
    return page.page(f"Unlearning certificate, {content['study']['name']}", sections)


def _heading(content: Mapping[str, Any]) -> str:
    chosen = content["chosen"]
    where = (
        f"Study {content['study']['name']}, trial {chosen['trial_id']} at step {chosen['step']} ({chosen['method']})"
    )
    return "\n".join([
        "<h1>Unlearning certificate</h1>",
        page.paragraph(f"{where}. Measured {content['made']['time']}.", "note"),
        _box(content["outcome"], content["verdict"]),
        f"<p class=note>SHA-256 of the content: <code>{escape(digest(content))}</code>. It does not bind this page. "
        "The seal of the JSON file does, which is the hash to publish, and --verify makes the page anew.</p>",
    ])  # fmt: skip


def _box(outcome: str, sentence: str) -> str:
    head = escape(_HEAD[outcome])
    return f'<div class="verdict {_KIND[outcome]}"><p><strong>{head}</strong></p><p>{escape(sentence)}</p></div>'


def _asked(content: Mapping[str, Any]) -> list[str]:
    lines = [
        [
            escape(image["shown"]),
            f"{image['width']} × {image['height']}, {'grey' if image['channels'] == 1 else 'colour'}",
            _code(image["file_sha256"]),
            _code(image["pixels_sha256"]),
        ]
        for image in content["asked"]
    ]
    note = (
        "The image itself stands nowhere in this document. Who has the file knows it again by its SHA-256, or by that "
        "of its decoded pixels: 8-bit values row by row, channels last."
    )
    return [_table(["image", "size", "SHA-256 of the file", "SHA-256 of the pixels"], lines, "text"),
            page.paragraph(note, "note")]  # fmt: skip


def _models(content: Mapping[str, Any]) -> list[str]:
    chosen, models = content["chosen"], content["models"]
    settings = ", ".join(f"{name} = {with_error(value)}" for name, value in chosen["settings"].items()) or "none"
    facts = [
        ["method", escape(str(chosen["method"]))],
        ["hyper-parameters", escape(settings)],
        ["optimiser steps", escape(str(chosen["step"]))],
        ["training seed", escape(str(chosen["training_seed"]))],
        ["chosen", escape(f"{chosen['why']}{'' if chosen['on_front'] else ', not a member of the front'}")],
    ]
    weights = [[escape(model), _code(models[model]["weights_sha256"] or "not safetensors")]
               for model in (UNTOUCHED, RETRAINED) if model in models]  # fmt: skip
    several = len(models[UNLEARNED]) > 1
    for entry, part in zip(models[UNLEARNED], content["parts"], strict=True):
        name = f"{UNLEARNED}, {_names(part)}" if several else UNLEARNED
        weights.insert(-1 if RETRAINED in models else len(weights), [escape(name), _code(entry["weights_sha256"])])
    note = (
        "The hash is of the tensors, whatever file they lie in. The hashes of all files, configurations among them, "
        "are in the JSON file."
    )
    return [_table(["", ""], facts, "text"), _table(["model", "SHA-256 of its weights"], weights, "text"),
            page.paragraph(note, "note")]  # fmt: skip


def _part(content: Mapping[str, Any], part: Mapping[str, Any]) -> list[str]:
    """The sections about one forget set."""
    several = len(content["parts"]) > 1
    of = f": {_names(part)}" if several else ""
    own = [_box(part["outcome"], part["verdict"])] if several else []
    return [
        page.Section(f"Rules{of}", (*own, _rules(part))).html,
        page.Section(f"Does the image stand out?{of}", tuple(_membership(part))).html,
        page.Section(f"Measurements{of}", tuple(_measurements(content, part))).html,
    ]


def _rules(part: Mapping[str, Any]) -> str:
    lines = [
        [escape(rule["name"]), escape(_SIGN[rule["outcome"]]), escape(rule["finding"]), escape(rule["rule"])]
        for rule in part["rules"]
    ]
    return _table(["rule", "outcome", "found", "what must hold"], lines, "text")


def _membership(part: Mapping[str, Any]) -> list[str]:
    membership, standings = part["membership"], part["standings"]
    count = membership["num_unseen"]
    if not count:
        return [page.paragraph("There were no images to compare with.", "warning")]
    kind = "images of its kind that no model saw" if membership["is_unseen"] else "images that are not memorised"
    texts = [page.paragraph(
        "A model knows what it was trained on better than other images. Here the forget image is compared with "
        f"{count} {kind}, under the same noises. By ranks, so that p-values are exact, and none is below "
        f"{resolution(count):.2g}. To the left of all unseen images it is still known; to the right of all it was "
        "driven away, which is a trace as well."
    )]  # fmt: skip
    first = part["images"][0]["pixels_sha256"]
    for statistic, models in membership["statistics"].items():
        texts.append(strip_figure(models, _STATISTICS.get(statistic, statistic), f"{first}-{statistic}"))
    texts.append(_standings(part, standings))
    texts += ["<h3>Compared with another model, image by image</h3>", _changes(part, standings)]
    texts.append(page.paragraph(
        "Differences take off what makes an image easy or hard for any model. They need a second model and decide no "
        "rule. A small p-value beside the untouched model says that who has both models can tell which image was "
        "forgotten; beside the retrained one, that who has that model can tell this one from it by the image.", "note"
    ))  # fmt: skip
    return texts


def _standings(part: Mapping[str, Any], standings: Mapping[str, Any]) -> str:
    lines = []
    for statistic, models in standings["among_unseen"].items():
        for model in (name for name in MODELS if name in models):
            for image, each in enumerate(models[model]):
                retain = standings["among_retain"][statistic][model][image]
                lines.append([
                    escape(f"{statistic}, {model}{_of(part, image)}"),
                    *(escape(_shown(each[name])) for name in ("value", "known", "estranged")),
                    escape(_share(each["percentile"])), escape(_shown(each["distance"], 2)),
                    escape(_share(retain["percentile"])),
                ])  # fmt: skip
    head = ["statistic, model", "value", "p: no better known", "p: no less likely", "unseen images below it",
            "standard deviations from their mean", "retain images below it"]  # fmt: skip
    return _table(head, lines, "numbers")


def _changes(part: Mapping[str, Any], standings: Mapping[str, Any]) -> str:
    lines = []
    for statistic, references in standings["change"].items():
        for reference, found in references.items():
            for image, each in enumerate(found):
                lines.append([
                    escape(f"{statistic}, unlearned − {reference}{_of(part, image)}"),
                    *(escape(_shown(each[name])) for name in ("value", "known", "estranged")),
                    escape(_share(each["percentile"])), escape(_shown(each["distance"], 2)),
                ])  # fmt: skip
    head = ["statistic, models", "difference", "p: no more downwards", "p: no more upwards", "unseen images below it",
            "standard deviations from their mean"]  # fmt: skip
    return _table(head, lines, "numbers")


def _measurements(content: Mapping[str, Any], part: Mapping[str, Any]) -> list[str]:
    models = [model for model in MODELS if model in part["metrics"]]
    lines = []
    for metric in part["metrics"][UNLEARNED]:
        label = content["labels"].get(metric, metric)
        label = metric if label == metric else f"{metric}: {label}"
        better = _WANTED.get(content["directions"].get(metric), "")
        lines.append(
            [escape(label), *(escape(_measured(part["metrics"][model].get(metric))) for model in models), better]
        )
    note = (
        "± standard error over noises, probes and generated images; in brackets a 95% interval: Wilson's of a share of "
        "images, else value ± 1.96 standard errors, which takes them as normal and as known and is too narrow over a "
        "handful of draws. All models on equal seeds. The last column is the way in which a search wants it: to "
        "forget, or to keep quality. nll_neighbours and sscd_neighbours are of retain images beside the forget image, "
        "which were to stay."
    )
    return [_table(["metric", *models, "wanted"], lines, "numbers"), page.paragraph(note, "note")]


def _measured(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return "–"
    text = with_error(number(entry["value"]), number(entry["stderr"]))
    return f"{text} {interval_text(number(entry['low']), number(entry['high']))}" if "low" in entry else text


def _how(content: Mapping[str, Any]) -> list[str]:
    seeds, by = content["seeds"], content["measured_with"]
    drawn = "named by who asked" if seeds["given"] else "drawn by chance, as its maker says"
    fidelity = ", ".join(f"{name} {value}" for name, value in by.items())
    names = ", ".join(f"{name} {value}" for name, value in content["made"]["versions"].items())
    return [
        page.paragraph(
            f"Seed {seeds['seed']} = {seeds['rule']}, with study seed {content['study']['seed']} and nonce "
            f"{seeds['nonce']} ({drawn}). Neither trials nor the front's re-measurement draw from it."
        ),
        page.paragraph(f"Measured with {fidelity}; {names}.", "note"),
        page.preformatted(
            "python -m analysis.certificate --verify FILE.json                # was the document changed?\n"
            "python -m analysis.certificate --verify FILE.json --remeasure    # and do the models measure the same?"
        ),
        page.paragraph(
            "The JSON file beside this page has everything that stands here, every statistic of every image compared "
            "with, and the SHA-256 of this page. Its seal is over all of that: compare the one that --verify tells "
            "with the one that was published. How hashes are made is in docs/certificate.md.", "note"
        ),
    ]  # fmt: skip


def _table(header: Sequence[str], lines: Sequence[Sequence[str]], kind: str) -> str:
    """A table of cells that are HTML already."""
    head = "".join(f"<th scope=col>{escape(name)}</th>" for name in header)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in line)}</tr>" for line in lines)
    top = f"<thead><tr>{head}</tr></thead>" if any(header) else ""
    return f'<table class="{kind}">{top}<tbody>{body}</tbody></table>'


def _list(texts: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _names(part: Mapping[str, Any]) -> str:
    return ", ".join(image["shown"] for image in part["images"])


def _of(part: Mapping[str, Any], image: int) -> str:
    return f", {part['images'][image]['shown']}" if len(part["images"]) > 1 else ""


def _shown(value: Any, digits: int = 3) -> str:
    number_of = number(value)
    return "–" if number_of != number_of else f"{number_of:.{digits}g}" if digits != 2 else f"{number_of:.1f}"


def _share(value: Any) -> str:
    number_of = number(value)
    return "–" if number_of != number_of else f"{number_of:.1%}"
