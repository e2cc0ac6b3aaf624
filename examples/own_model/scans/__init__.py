"""A user's own workload, method and metric."""
