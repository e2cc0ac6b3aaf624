"""Faults injected into running studies, and what must hold afterwards."""
