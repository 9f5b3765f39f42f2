"""JSON lines over the standard library's logging, one object a line.

Owns the format; each part's `main.py` calls `configure` once. Never writes a field, message or
trace that has not passed the part's `scrub`, and never turns asyncio's debug mode on.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

Scrub = Callable[[str], str]
_STANDARD = {*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object; its `extra` fields become keys of their own."""

    def __init__(self, component: str, scrub: Scrub) -> None:
        """Keep the component's name and the function that takes secrets out of a text."""
        super().__init__()
        self._component, self._scrub = component, scrub

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; values JSON does not know are written as their (scrubbed) text."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {"time": time.replace("+00:00", "Z")}
        line |= {"level": record.levelname.lower(), "component": self._component}
        line |= {"logger": record.name, "message": self._scrub(record.getMessage())}
        for key in record.__dict__.keys() - _STANDARD - line.keys():
            value = record.__dict__[key]
            plain = value is None or isinstance(value, bool | int | float)
            line[key] = value if plain else self._scrub(str(value))
        if record.exc_info and record.exc_info[0]:
            line["exception"] = record.exc_info[0].__name__
            line["trace"] = self._scrub(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def configure(component: str, level: str, stream: TextIO, scrub: Scrub) -> None:
    """Send the root logger to `stream`; `level` is a name such as "info". ValueError if unknown."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter(component, scrub))
    root = logging.getLogger()
    root.setLevel(level.upper())
    root.handlers = [handler]
    logging.captureWarnings(capture=True)
    logging.raiseExceptions = False  # its report would print a record past the scrub
