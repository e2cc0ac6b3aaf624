"""ReTrack: the weight of denoising noised forget images towards their nearest retain images."""

from search_spaces.space import MethodSpace, Parameter

SPACE = MethodSpace(
    "retrack",
    parameters=(
        Parameter(
            "lambd",
            low=1e-4,
            high=0.5,
            log=True,
            scale=None,
            why="Weight of the forget term against the retain term. Its authors take 0.005 on MNIST; its errors are "
            "those of a large shift of noise, so that little weight moves much.",
        ),
    ),
    published=({"lambd": 0.005},),
)
