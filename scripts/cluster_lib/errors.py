"""What goes wrong with a cluster, as its user is told."""


class ClusterError(RuntimeError):
    """A step of the cluster's life failed."""
