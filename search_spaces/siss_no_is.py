"""SISS without importance sampling (arXiv 2503.01034): two separate losses, the forget gradient set to a norm."""

from search_spaces.siss import SCALING_NORM
from search_spaces.space import MethodSpace

SPACE = MethodSpace("siss_no_is", parameters=(SCALING_NORM,), published=({"scaling_norm_ratio": 0.1},))
