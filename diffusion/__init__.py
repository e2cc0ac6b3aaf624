"""Noise schedule, denoiser adapter, sampling and private random streams. Knows nothing of trials."""
