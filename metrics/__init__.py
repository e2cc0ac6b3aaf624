"""Metrics: pure functions of evidence, one file each, listed in METRICS."""
