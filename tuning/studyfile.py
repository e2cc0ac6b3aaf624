"""Study files: YAML that holds plain data and nothing else, read strictly, and the way back."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tuning.problems import ConfigError, Problem, closest
from tuning.schema import StudyConfig, dump

_PLAIN = (
    "a study file must be one YAML mapping of field to value, UTF-8, without tags, aliases and repeated keys, "
    "of a megabyte at most"
)
_LARGEST = 2**20

# What PyYAML's constructors raise for a scalar that is not of the type that it, or its tag, claims.
_CONSTRUCTION_ERRORS = (
    yaml.YAMLError,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    RecursionError,
)


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses repeated keys and reads ``1e-4`` as the number that it is in YAML 1.2.

    It refuses aliases too: a few lines of them, each naming the one before twice, hold more than any memory.
    """

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, f"the alias *{event.anchor}", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        known = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                break  # which is the finding of the class above
            if key in known:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is repeated", key_node.start_mark)
            known.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def parse_mapping(text: str, source: str) -> dict[str, Any]:
    """The mapping that a YAML text holds.

    Args:
        text: the YAML.
        source: where it comes from, for messages.

    Raises:
        ConfigError: broken YAML, a tag that asks for an object to be constructed, repeated keys, or no mapping.
    """
    try:
        data = yaml.load(text, Loader=_Loader)  # a SafeLoader: constructs plain data only
    except yaml.MarkedYAMLError as error:
        raise ConfigError([_yaml_problem(error, source)]) from None
    except _CONSTRUCTION_ERRORS as error:
        raise ConfigError([Problem(_PLAIN, source, f"repair the file ({error})")]) from None
    if not isinstance(data, dict):
        kind = "nothing" if data is None else f"a {type(data).__name__}"
        raise ConfigError([Problem(_PLAIN, f"{source}, which holds {kind}", "write lines such as 'num_trials: 20'")])
    return {str(key): value for key, value in data.items()}


def _yaml_problem(error: yaml.MarkedYAMLError, source: str) -> Problem:
    mark = error.problem_mark
    place = f"{source}, line {mark.line + 1}" if mark is not None else source
    if "tag" in str(error.problem):
        return Problem(_PLAIN, f"{place}: {error.problem}", "remove the tag; nothing in a study file is ever executed")
    return Problem(_PLAIN, f"{place}: {error.problem or error.context}", "repair this line")


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds.

    Raises:
        ConfigError: the file cannot be read, is not UTF-8, or is no study file.
    """
    try:
        if not path.is_file() and path.exists():  # a pipe would be waited for, a device has no end
            raise OSError(errno.EINVAL, "a directory" if path.is_dir() else "neither a file nor a directory")
        if path.stat().st_size > _LARGEST:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = f"{path}, byte {error.start}"
        raise ConfigError([Problem(_PLAIN, f"{place}: not UTF-8", "save the file as UTF-8")]) from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise ConfigError(
            [Problem("the study file must be readable", f"{path} ({reason})", "check the path")]
        ) from None
    return parse_mapping(text, str(path))


def to_yaml(config: StudyConfig) -> str:
    """The configuration as the text of ``study.yaml``; `from_yaml` gives an equal configuration back."""
    return yaml.safe_dump(dump(config), sort_keys=False, allow_unicode=True, width=120)


def from_yaml(text: str, source: str = "study.yaml") -> StudyConfig:
    """The configuration that `to_yaml` wrote; types and ranges are checked, files and registries are not.

    Raises:
        ConfigError: the text is no study file, or breaks the rules of a field.
    """
    values = parse_mapping(text, source)
    try:
        return StudyConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(field_problems(error)) from None


def field_problems(error: ValidationError, prefix: str = "") -> list[Problem]:
    """Pydantic's findings as problems; the field's description is the remedy."""
    problems = []
    for detail in error.errors(include_url=False):
        path = [*([prefix] if prefix else []), *map(str, detail["loc"])]
        name = path[0] if path else "configuration"
        if detail["type"] == "extra_forbidden":
            problems.append(unknown_key(name))
            continue
        if detail["type"] == "too_short" and detail["input"]:
            continue  # its items are wrong, each of which is a finding of its own
        if detail["type"] == "missing" and len(path) == 1:
            problems.append(missing_field(name))
            continue
        text = detail["msg"].removeprefix("Value error, ").rstrip(".")
        where = name if len(path) == 1 else f"{name} ({', '.join(path[1:])})"
        problems.append(_field_problem(name, where, text, detail["input"]))
    return problems


def _field_problem(name: str, where: str, text: str, given: object) -> Problem:
    rule, found, remedy = text.partition("; ")
    if found:  # a message of our own: rule, value and remedy in one
        return Problem(f"{where}: {rule.split(', but got ')[0]}", given, remedy)
    return Problem(f"{where}: {text[0].lower()}{text[1:]}", given, f"{name} is: {description(name)}")


def description(name: str) -> str:
    """What a field is for."""
    field = StudyConfig.model_fields.get(name)
    return (field.description or "") if field is not None else ""


def unknown_key(name: str, kind: str = "key") -> Problem:
    """A name that no field has."""
    return Problem(f"every {kind} must be a field of the configuration", name, closest(name, StudyConfig.model_fields))


def missing_field(name: str) -> Problem:
    """A field without a default that nobody gave."""
    flag = "--" + name.replace("_", "-")
    return Problem(f"{name} must be given ({description(name)})", "nothing", f"set it in the study file or by {flag}")


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid over `base`; the entries of ``fix`` are merged one by one."""
    result = {**base, **over}
    if isinstance(base.get("fix"), dict) and isinstance(over.get("fix"), dict):
        result["fix"] = {**base["fix"], **over["fix"]}
    return result
