"""``python -m analysis.certificate``: says, by fresh measurements, whether a model of a study has forgotten its image.

Writes an HTML page and a JSON file with everything that was measured; ``--verify FILE.json`` checks such a file. What
it says, by which rules, and what it does not prove: docs/certificate.md.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from analysis.certificates.check import Check
from analysis.certificates.document import AlteredError, Certificate, digest, read
from analysis.certificates.making import NUM_NONCES
from analysis.certificates.page import certificate_page
from analysis.certificates.page_verifying import page_check
from analysis.certificates.verifying import claims_check, conclusions_check, version_checks
from analysis.choice import add_choice, study_of
from analysis.load import StudyError
from analysis.member import find_member
from analysis.progress import watching
from tuning.files import StudyFiles, write_text_atomic
from tuning.paths import name_problems
from tuning.schema import local_directory

#: Images that the forget image is compared with, at most: p-values down to 1 / 100.
NUM_UNSEEN: Final = 99
VERIFIED, ALTERED, WRONG_INPUT = 0, 1, 2
_INTERRUPTED: Final = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Makes or checks a certificate; 0 done or verified, 1 it does not verify, 2 what was given is wrong."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if (arguments.name is None) == (arguments.verify is None):
        parser.error("give the NAME of a study to make a certificate, or --verify FILE to check one")
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        return _verify(arguments, errors) if arguments.verify is not None else _make(arguments, errors)
    except (StudyError, OSError) as error:
        errors.print(Text(f"error: {error}"))
        return WRONG_INPUT
    except KeyboardInterrupt:
        errors.print(Text("interrupted: nothing was written"))
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    description = (__doc__ or "").partition(": ")[2].partition("\n\n")[0]
    parser = argparse.ArgumentParser(prog="python -m analysis.certificate", description=description)
    parser.add_argument("name", nargs="?", help="name of the study")
    add_choice(parser)
    parser.add_argument(
        "--image", metavar="NAME", help="of images that were unlearned one at a time, which [default: all]"
    )
    parser.add_argument(
        "--seed", type=_natural, metavar="N", help="what fresh seeds are made from [default: drawn by chance]"
    )
    unseen = f"unseen images to compare with, at most [default: {NUM_UNSEEN}]"
    parser.add_argument("--num-unseen", type=_natural, default=NUM_UNSEEN, metavar="N", help=unseen)
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="where to write [default: certificates in the study]"
    )
    parser.add_argument("--verify", type=Path, metavar="FILE", help="check a certificate's JSON file")
    parser.add_argument("--remeasure", action="store_true", help="with --verify: measure the models again too")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser


def _natural(text: str) -> int:
    if not text.isdigit() or int(text) >= NUM_NONCES:
        raise argparse.ArgumentTypeError(f"it must be a whole number from 0 to {NUM_NONCES - 1}, but got {text!r}")
    return int(text)


def _make(arguments: argparse.Namespace, errors: Console) -> int:
    study = study_of(arguments.name, arguments.storage_path)
    member = find_member(study, arguments.trial, arguments.step)
    with watching(errors, arguments.quiet) as watch:
        watch.stage("load libraries")
        from analysis.certificates.certifying import certify, order_of

        order = order_of(
            study, member, arguments.image, arguments.seed, most_unseen=arguments.num_unseen, inputs=arguments.inputs
        )
        of_image = "" if arguments.image is None else "-image" + "-".join(map(str, order.sets))
        place = (arguments.output or study.files.certificates) / f"{member.name}-{order.nonce:08x}{of_image}"
        _refuse_another(place.with_name(place.name + ".json"))
        content = certify(order, watch)
    written = write(content, place)
    console = Console(highlight=False, soft_wrap=True)
    lines = [str(content["verdict"]), str(written.page), str(written.file), f"seal {written.seal}"]
    console.print(Text("\n".join(lines)))
    return VERIFIED


@dataclass(frozen=True)
class Written:
    """Where a certificate is.

    Attributes:
        page, file: HTML and JSON.
        seal: the hash to publish.
    """

    page: Path
    file: Path
    seal: str


def _refuse_another(file: Path) -> None:
    """Certificates are kept.

    Raises:
        StudyError: there is one of that name.
    """
    if file.exists():
        raise StudyError(
            f"a certificate must not take the place of another, but {file} is there; check it with --verify, name "
            "another --seed, or another --output"
        )


def write(content: Mapping[str, Any], place: Path) -> Written:
    """Write page and file.

    Args:
        content: all that is certified, plain.
        place: the paths of both, less the suffix.
    """
    text = certificate_page(content)
    page, file = place.with_name(place.name + ".html"), place.with_name(place.name + ".json")
    write_text_atomic(page, text)
    named = {"name": page.name, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    certificate = Certificate(content, named)
    write_text_atomic(file, certificate.render())
    return Written(page, file, certificate.seal)


def _verify(arguments: argparse.Namespace, errors: Console) -> int:
    console, file = Console(highlight=False, soft_wrap=True), arguments.verify
    try:
        certificate = read(file)
    except AlteredError as error:
        console.print(Text(f"does not verify: {file} {error}"))
        return ALTERED
    content = certificate.content
    checks = [Check("document", True, f"is as it was written, seal {certificate.seal}, content {digest(content)}")]
    checks += [page_check(certificate, file), conclusions_check(content)]
    if all(check.holds is not False for check in checks):
        checks += [*_with_study(arguments, certificate, errors), claims_check()]
    else:
        checks += version_checks(content)
    for check in checks:
        sign = {True: "✓", False: "✗", None: "–"}[check.holds]
        console.print(Text(f"{sign} {check.what}: {check.text}"))
    altered = any(check.holds is False for check in checks)
    console.print(Text("does not verify" if altered else f"verified: {content['verdict']}"))
    return ALTERED if altered else VERIFIED


def _with_study(arguments: argparse.Namespace, certificate: Certificate, errors: Console) -> list[Check]:
    """The checks that need the study, where it is at hand."""
    content = certificate.content
    name = str(content["study"]["name"])
    if name_problems(name):
        return [Check("study", False, f"{name!r} is no name of a study")]
    files = StudyFiles(local_directory(arguments.storage_path) / name)
    if not files.study.is_file() and not arguments.remeasure:
        return [Check("study", None, f"{files.root} is not there: models and images were not looked at")]
    study = study_of(name, arguments.storage_path)
    with watching(errors, arguments.quiet) as watch:
        watch.stage("load libraries")
        from analysis.certificates.certifying import files_still_the_same, order_again, values_still_the_same

        order = order_again(study, content, arguments.inputs)
        watch.stage("hash files")
        checks = files_still_the_same(order, content)
        if arguments.remeasure:
            return [*checks, *values_still_the_same(order, content, watch)]
        told = "nothing was measured again, nor images decoded and metrics' names looked up, as --remeasure does"
        return [*checks, Check("values", None, told)]


if __name__ == "__main__":
    sys.exit(main())
