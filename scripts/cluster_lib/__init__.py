"""A cluster of `ray up` on this machine alone."""
