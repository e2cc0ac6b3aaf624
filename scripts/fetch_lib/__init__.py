"""Helpers of `scripts/fetch_assets.py`: what the large workloads need, and how it is fetched, checked and unpacked."""
