"""SISS's mixture without importance weights: the share of forget rows and the forget gradient's norm."""

from search_spaces.siss import SCALING_NORM
from search_spaces.space import MethodSpace, Parameter

SPACE = MethodSpace(
    "bernoulli",
    parameters=(
        Parameter(
            "lambd",
            low=0.05,
            high=0.95,
            log=False,
            scale=None,
            why="Share of forget rows. Each row serves one term, so that near 0 and 1 a batch lacks rows of the other.",
        ),
        SCALING_NORM,
    ),
    published=({"lambd": 0.5, "scaling_norm_ratio": 0.1},),
)
