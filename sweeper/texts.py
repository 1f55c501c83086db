"""Texts that come from elsewhere, made fit to be written."""


def writable(text: str) -> str:
    """A text as UTF-8 can hold it.

    A file name that is no UTF-8 comes from Python with lone surrogates, which no file and no
    database takes.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
