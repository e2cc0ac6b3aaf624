"""Reads what studies leave behind: fronts, pictures, reports. Runs without torch."""
