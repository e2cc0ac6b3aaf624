"""The search benchmark: trials recorded once, searches replayed over them."""
