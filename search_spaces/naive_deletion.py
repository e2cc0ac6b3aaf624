"""Naive deletion: fine-tuning on the retain images alone. Nothing to choose, so it is a single setting."""

from search_spaces.space import MethodSpace

SPACE = MethodSpace("naive_deletion", parameters=(), published=({},))
