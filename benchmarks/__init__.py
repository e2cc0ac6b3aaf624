"""Side-by-side speed and search benchmarks, printed as ratios: ``python -m benchmarks`` or ``make bench``."""
