"""Naive deletion: fine-tuning on the retain images alone. Nothing to choose, so it runs once per repeat."""

from search_spaces.space import MethodSpace

SPACE = MethodSpace("naive_deletion", parameters=(), published=({},))
