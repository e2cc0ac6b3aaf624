"""Search spaces, one file per method; ranges and why. Free of torch; Optuna is only asked, never imported."""

from collections.abc import Mapping
from dataclasses import replace

from registry import Registry
from search_spaces.space import MethodSpace, Parameter, published_settings

SEARCH_SPACES: Registry[MethodSpace] = Registry(
    "search space",
    {
        "siss": "search_spaces.siss:SPACE",
        "siss_no_is": "search_spaces.siss_no_is:SPACE",
        "erasediff": "search_spaces.erasediff:SPACE",
        "naive_deletion": "search_spaces.naive_deletion:SPACE",
        "neggrad": "search_spaces.neggrad:SPACE",
        "bernoulli": "search_spaces.bernoulli:SPACE",
        "retrack": "search_spaces.retrack:SPACE",
    },
)


def space_of(method: str, spaces: Mapping[str, MethodSpace] = SEARCH_SPACES) -> MethodSpace:
    """The space of ``method``, named after the method.

    A method from outside, ``package.module:Class``, carries its space as the class attribute ``space``.

    Raises:
        KeyError: no method of that name.
        TypeError: the class carries no space.
    """
    found = spaces[method]
    space = found if isinstance(found, MethodSpace) else getattr(found, "space", None)
    if not isinstance(space, MethodSpace):
        raise TypeError(
            f"{method!r} must be a MethodSpace or carry one as its attribute 'space', but got {found!r}; "
            "add `space = MethodSpace(…)` to the class"
        )
    return replace(space, method=method)


__all__ = ["SEARCH_SPACES", "MethodSpace", "Parameter", "published_settings", "space_of"]
