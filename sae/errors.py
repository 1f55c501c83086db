"""The exceptions of this package that a user is meant to read."""


class SaeError(Exception):
    """Input that cannot be used; `str()` is one line naming the key, the rule and the value."""


class MemoryTooSmallError(SaeError):
    """A run that does not fit into the device's memory; a smaller one may."""
