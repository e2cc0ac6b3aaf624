"""The records of a study in an object store, from which another machine goes on."""
