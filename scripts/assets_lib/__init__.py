"""Helpers of `scripts/build_assets.py`: where the data comes from, and how the embedded models are trained."""
