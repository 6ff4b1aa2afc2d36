"""The command `manta`: a local cluster, the operator, and live progress."""
