"""How a study runs: configuration, search, records."""
