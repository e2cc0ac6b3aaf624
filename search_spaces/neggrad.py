"""NegGrad: gradient ascent on the forget images."""

from search_spaces.space import MethodSpace, Parameter

SPACE = MethodSpace(
    "neggrad",
    parameters=(
        Parameter(
            "superfactor",
            low=0.03,
            high=3.0,
            log=True,
            scale=None,
            why="A factor on the learning rate. The authors' factor on the loss is cancelled by the gradient clip and "
            "by AdamW, so that it acted as 1; ascent at that rate ruins the model within tens of steps, so most of the "
            "range lies below.",
        ),
    ),
    published=({"superfactor": 1.0},),
)
