"""The file of named hubs: where they are, and the token for each.

Owns the file's place, its form, and the rule that nobody else may read it.
Called by `connection` (reads), the `context` commands (change) and
completion (names). Never talks to a hub and never prints a token.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .errors import ArgumentError, CliError


@dataclass(frozen=True, slots=True)
class Context:
    """One named hub. `token` stays out of every repr; `insecure_http` allows plain HTTP to it."""

    url: str
    org: str | None = None
    token: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    insecure_http: bool = False


@dataclass(frozen=True, slots=True)
class Contexts:
    """All named hubs, and the name of the one in use (None: none chosen)."""

    named: Mapping[str, Context] = field(default_factory=dict)
    current: str | None = None

    def get(self, name: str) -> Context:
        """Return the context `name`. Raises ArgumentError that lists the names there are."""
        found = self.named.get(name)
        if found is None:
            known = ", ".join(sorted(self.named)) or "none yet"
            raise ArgumentError(f"there is no context {name!r} (there are: {known})")
        return found

    def with_context(self, name: str, context: Context) -> Contexts:
        """Return these contexts with `name` set; the first one becomes the current."""
        return Contexts({**self.named, name: context}, self.current or name)

    def without(self, name: str) -> Contexts:
        """Return these contexts without `name`. Raises ArgumentError if there is none."""
        self.get(name)
        rest = {key: value for key, value in self.named.items() if key != name}
        return Contexts(rest, None if self.current == name else self.current)

    def using(self, name: str) -> Contexts:
        """Return these contexts with `name` as the current. Raises ArgumentError."""
        self.get(name)
        return replace(self, current=name)


def config_path(environment: Mapping[str, str]) -> Path:
    """Return the file's place: RADAR_AUDIT_CONFIG, else the XDG folder's `radar-audit`."""
    chosen = environment.get("RADAR_AUDIT_CONFIG")
    if chosen:
        return Path(chosen)
    folder = environment.get("XDG_CONFIG_HOME", "")
    # The XDG specification says that a relative path is to be ignored.
    root = Path(folder) if folder.startswith("/") else Path("~/.config").expanduser()
    return root / "radar-audit" / "config.json"


def read_contexts(path: Path) -> Contexts:
    """Read the file; no file means no contexts.

    Raises CliError if others may read the file (it holds tokens), if it
    cannot be read, or if it is not in the form that `write_contexts` gives it.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            _refuse_shared(path, status)
            raw = file.read()
    except FileNotFoundError:
        return Contexts()
    except OSError as exc:
        raise CliError(f"cannot read {path}: {exc.strerror}") from exc
    try:
        return _decoded(json.loads(raw))
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise CliError(
            f"{path} is not a file of contexts", hint=f"move it away: mv {path} {path}.old"
        ) from exc


def _refuse_shared(path: Path, status: os.stat_result) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise CliError(
            f"{path} holds tokens, and others may read it (mode {mode:04o} instead of 0600)",
            hint=f"chmod 600 {path}",
        )


def _decoded(document: Any) -> Contexts:
    named = {name: _context(entry) for name, entry in document["contexts"].items()}
    current = document.get("current")
    return Contexts(named, current if current in named else None)


def _context(entry: Any) -> Context:
    texts = [entry.get(name) for name in ("org", "token", "ca_file")]
    is_whole = isinstance(entry["url"], str) and all(isinstance(t, str | None) for t in texts)
    if not is_whole or not isinstance(entry.get("insecure_http", False), bool):
        raise TypeError("a field has the wrong type")
    return Context(**entry)


def _encoded(contexts: Contexts) -> bytes:
    named = {}
    for name, context in contexts.named.items():
        entry: dict[str, Any] = {"url": context.url}
        for key in ("org", "token", "ca_file"):
            value = getattr(context, key)
            if value is not None:
                entry[key] = value
        if context.insecure_http:
            entry["insecure_http"] = True
        named[name] = entry
    document = {"current": contexts.current, "contexts": named}
    return (json.dumps(document, indent=2) + "\n").encode()


def write_contexts(path: Path, contexts: Contexts) -> None:
    """Replace the file as a whole, readable by its owner only. Raises CliError."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # mkstemp makes the file with mode 0600 before a token is in it.
        handle, temporary = tempfile.mkstemp(prefix=".config-", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_encoded(contexts))
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as exc:
        raise CliError(f"cannot write {path}: {exc.strerror}") from exc
