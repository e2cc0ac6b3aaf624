"""What ``python -m analysis.certificate`` is made of; only `measuring` touches models."""
