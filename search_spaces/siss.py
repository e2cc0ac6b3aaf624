"""SISS, subtracted importance-sampled scores (arXiv 2503.01034): the mixture weight and the forget gradient's norm."""

from search_spaces.space import MethodSpace, Parameter

SCALING_NORM = Parameter(
    "scaling_norm",
    low=0.02,
    high=2.0,
    log=True,
    scale="retain_gradient_norm",
    why="The authors set the forget gradient to about a tenth of naive deletion's. On the embedded study a "
    "hundredth forgets nothing within 80 steps, and the best trade-offs lie beyond a tenth, up to one and a half.",
)

SPACE = MethodSpace(
    "siss",
    parameters=(
        Parameter(
            "lambd",
            low=0.0,
            high=1.0,
            log=False,
            scale=None,
            why="Share of forget rows in the mixture: a probability, its ends legal (retain or forget rows only).",
        ),
        SCALING_NORM,
    ),
    # lambd = 0.5 is the authors' method; 0 and 1 are the ends that they compare it with.
    published=(
        {"lambd": 0.5, "scaling_norm_ratio": 0.1},
        {"lambd": 0.0, "scaling_norm_ratio": 0.1},
        {"lambd": 1.0, "scaling_norm_ratio": 0.1},
    ),
)
