"""The one exception of this package that a user is meant to read."""


class AnalysisError(Exception):
    """Input that cannot be used; `str()` is one line naming the key, the rule and the value."""
