"""EraseDiff (arXiv 2401.05779, as used in arXiv 2503.01034): the pull towards noise on the forget images."""

from search_spaces.space import MethodSpace, Parameter

SPACE = MethodSpace(
    "erasediff",
    parameters=(
        Parameter(
            "eta",
            low=1e-4,
            high=1e-1,
            log=True,
            scale=None,
            why="The authors use 1e-3 for unconditional models, 1e-2 for Stable Diffusion; a factor of ten beyond.",
        ),
    ),
    published=({"eta": 1e-3},),
)
