"""Flags of the launch command, generated from the fields of the configuration.

Every flag takes any number of words here; how many it should take is checked afterwards, so that all mistakes of a
command line are found at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo

from tuning.problems import ConfigError, Problem, closest
from tuning.schema import StudyConfig
from tuning.studyfile import parse_mapping

DEFAULT_STUDY = "studies/mnist_tshirt.yaml"
_SWITCHES = ("resume", "dry_run", "quiet")
_ALIASES = {"constraint": "constraints"}
_EXAMPLES = {"fix": "lambd=0.5", "ideal": "nll=1.5", "resources_per_trial": "small_gpu=1"}


@dataclass(frozen=True)
class Options:
    """What the launch command is asked for besides the configuration.

    Args:
        study: the study file named by ``--study``; None where none was.
        resume: go on with a study that was started.
        dry_run: print the configuration and stop.
        quiet: say nothing but what went wrong.
    """

    study: str | None = None
    resume: bool = False
    dry_run: bool = False
    quiet: bool = False


class _Formatter(argparse.HelpFormatter):
    """Shows what a flag takes, not how it is parsed."""

    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        return str(action.metavar if action.metavar is not None else default_metavar)


def is_list(field: FieldInfo) -> bool:
    """Whether a field takes several values on the command line."""
    return get_origin(field.annotation) in (tuple, dict)


def is_mapping(field: FieldInfo) -> bool:
    """Whether a field takes NAME=VALUE on the command line."""
    return get_origin(field.annotation) is dict


def _takes(name: str, field: FieldInfo) -> str:
    if is_mapping(field):
        return "NAME=VALUE [NAME=VALUE ...]"
    if is_list(field):
        return f"{name.upper()} [...]"
    if field.annotation is bool:
        return ""
    return name.upper()


def _help(field: FieldInfo) -> str:
    text = (field.description or "").replace("%", "%%")
    choices = _choices(field)
    if choices:
        text += f" ({', '.join(choices)})"
    if field.is_required():
        return text
    default = field.get_default(call_default_factory=True)
    if default in (None, (), {}, False):
        return text
    shown = ", ".join(map(str, default)) if isinstance(default, tuple) else default
    return f"{text} [default: {shown}]"


def _choices(field: FieldInfo) -> tuple[str, ...]:
    arguments = get_args(field.annotation)
    return tuple(arguments) if arguments and all(isinstance(choice, str) for choice in arguments) else ()


def build_parser() -> argparse.ArgumentParser:
    """The parser: ``--study``, ``--resume``, ``--dry-run``, ``--quiet`` and a flag for each field of `StudyConfig`."""
    parser = argparse.ArgumentParser(
        prog="tune_unlearning.py",
        usage="%(prog)s [--study FILE] [--FIELD VALUE ...] [--resume] [--dry-run] [--quiet]",
        description="Searches for the methods and hyper-parameters that make a diffusion model forget given images, "
        "and ends in a constrained Pareto front. Without flags it runs the embedded study on this machine.",
        epilog="Every field can be set in the study file or by its flag; a flag wins. 'none' unsets an optional field.",
        formatter_class=_Formatter,
        allow_abbrev=False,
        exit_on_error=False,
    )
    study_help = f"study file [default: {DEFAULT_STUDY}]"
    parser.add_argument("--study", nargs="*", action="append", metavar="FILE", help=study_help)
    parser.add_argument("--resume", nargs="*", action="append", metavar="", help="go on with a study that was started")
    parser.add_argument("--dry-run", nargs="*", action="append", metavar="", help="print the configuration and stop")
    parser.add_argument("--quiet", nargs="*", action="append", metavar="", help="print nothing but errors")
    aliases = {field: alias for alias, field in _ALIASES.items()}
    for name, field in StudyConfig.model_fields.items():
        flags = [flag_of(name)] + ([flag_of(aliases[name])] if name in aliases else [])
        parser.add_argument(
            *flags, dest=name, nargs="*", action="append", metavar=_takes(name, field), help=_help(field)
        )
    return parser


def flag_of(name: str) -> str:
    """``--num-trials`` of ``num_trials``."""
    return "--" + name.replace("_", "-")


def parse_flags(argv: Sequence[str]) -> tuple[dict[str, Any], Options, list[Problem]]:
    """The fields that flags set, as plain data; the options; and what is wrong with the command line.

    Raises:
        SystemExit: ``--help`` was asked for and printed.
    """
    parser = build_parser()
    try:
        parsed, unknown = parser.parse_known_args(list(argv))
    except argparse.ArgumentError as error:
        return {}, Options(), [Problem("the command line must be readable", str(error), "see --help")]
    problems = _unknown_flags(unknown, parser)
    given = {name: words for name, words in vars(parsed).items() if words is not None}
    options = Options(
        study=_single("study", given.pop("study", None), problems),
        **{name: _switch(name, given.pop(name, None), problems) for name in _SWITCHES},
    )
    values: dict[str, Any] = {}
    for name, occurrences in given.items():
        field, before = StudyConfig.model_fields[name], len(problems)
        value = _value(name, field, occurrences, problems)
        if len(problems) == before:
            values[name] = value
    return values, options, problems


def _unknown_flags(words: Sequence[str], parser: argparse.ArgumentParser) -> list[Problem]:
    known = [flag for action in parser._actions for flag in action.option_strings if flag.startswith("--")]
    problems = []
    for word in words:
        if word.startswith("-"):
            remedy = closest(word.split("=")[0], known) if word.startswith("--") else "see --help"
            problems.append(Problem("every flag must be a known one", word, remedy.replace("use one of: ", "use ")))
    stray = [word for index, word in enumerate(words) if not word.startswith("-") and not _follows_flag(words, index)]
    if stray:
        problems.append(Problem("every word must belong to a flag", " ".join(stray), "put its flag before it"))
    return problems


def _follows_flag(words: Sequence[str], index: int) -> bool:
    return any(word.startswith("-") for word in words[:index])


def _single(name: str, occurrences: list[list[str]] | None, problems: list[Problem]) -> str | None:
    """The one word of a flag; where the flag is repeated, the last wins."""
    if occurrences is None:
        return None
    words = occurrences[-1]
    if len(words) != 1:
        given = " ".join(words) or "none"
        problems.append(Problem(f"{flag_of(name)} must have one value", given, "quote a value that contains spaces"))
    return words[0] if words else None


def _switch(name: str, occurrences: list[list[str]] | None, problems: list[Problem]) -> bool:
    if occurrences and any(occurrences):
        given = " ".join(word for words in occurrences for word in words)
        problems.append(Problem(f"{flag_of(name)} must have no value", given, "remove it"))
    return occurrences is not None


def _value(name: str, field: FieldInfo, occurrences: list[list[str]], problems: list[Problem]) -> Any:
    if is_mapping(field):
        return _named(name, occurrences, problems)
    words = [word for group in occurrences for word in group]
    if name == "enqueue":
        return _entries(words, problems)
    if is_list(field):
        return words
    if field.annotation is bool and not occurrences[-1]:
        return True
    word = _single(name, occurrences, problems)
    optional = type(None) in get_args(field.annotation)
    return None if optional and word is not None and word.lower() == "none" else word


def _named(field: str, occurrences: list[list[str]], problems: list[Problem]) -> dict[str, str]:
    given: dict[str, str] = {}
    flag, example = flag_of(field), _EXAMPLES[field]
    words = [word for group in occurrences for word in group]
    if not words:
        problems.append(Problem(f"{flag} must have NAME=VALUE", "none", f"write for instance {flag} {example}"))
    for word in words:
        name, sign, value = word.partition("=")
        if not (name and sign and value):
            problems.append(Problem(f"{flag} must have NAME=VALUE", word, f"write for instance {flag} {example}"))
        elif given.get(name, value) != value:
            problems.append(Problem(f"{flag} must give a name once", f"{name}={given[name]} and {word}", "keep one"))
        else:
            given[name] = value
    return given


def _entries(words: Sequence[str], problems: list[Problem]) -> list[dict[str, Any]]:
    entries = []
    for word in words:
        try:
            entries.append(parse_mapping(word, f"--enqueue {word}"))
        except ConfigError as error:
            problems.extend(error.problems)
    return entries
