"""Helpers of `scripts/draw_pictures.py`: pictures of a study as files, its pages in a browser, the terminal."""
