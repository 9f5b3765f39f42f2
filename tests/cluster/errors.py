"""The one error of the test clusters. Every module here raises it; `__main__` prints it."""

from __future__ import annotations


class ClusterError(Exception):
    """A cluster cannot be built, started, reached or ended; the message is the sentence to show."""
