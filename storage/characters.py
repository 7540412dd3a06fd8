"""Words as a database and a page can hold them.

They come from brokers and strangers; JSON may bring half of a character, which neither can encode.
"""


def plain(words: str) -> str:
    """Return the words with a question mark for each half of a character."""
    return words if words.isascii() else words.encode("utf-8", "replace").decode()
