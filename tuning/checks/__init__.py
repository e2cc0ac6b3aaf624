"""What must hold of a configuration before anything starts: a file a part of it, in `table` which fields each reads."""
