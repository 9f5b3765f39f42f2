"""The one error of the images and releases; `__main__` and `release` print it."""

from __future__ import annotations


class ImageError(Exception):
    """An image cannot be built or released; the message is the sentence to show."""
