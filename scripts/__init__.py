"""Commands around the project: each a file, its parts in the folder of the same name."""
