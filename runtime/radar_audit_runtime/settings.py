"""Settings: a part's frozen dataclass, filled from a TOML file and the environment.

Owns `setting`, `load`, `describe` and `SettingsError`. Each part's `settings.py` declares the
fields, its `main.py` calls `load`. Never puts a secret's value in an error, a repr or a log.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from enum import EnumType
from pathlib import Path
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")
_HUGE = sys.float_info.max
_WORDS = {"true": True, "1": True, "yes": True, "on": True}
_WORDS |= {"false": False, "0": False, "no": False, "off": False}
# Kubernetes adds such variables for every Service of the namespace; they are not settings.
_SERVICE_LINK = re.compile(
    r"\w+(SERVICE_(HOST|PORT)\w*=.*|PORT=(tcp|udp|sctp)://.*|PORT_\d+_(TCP|UDP|SCTP)\w*=.*)",
    re.DOTALL,
)


class SettingsError(Exception):
    """Settings are wrong; `problems` holds one sentence for each, naming its variable."""

    def __init__(self, problems: Iterable[str]) -> None:
        """Keep the sentences; the message holds one a line."""
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclasses.dataclass(frozen=True)
class Row:
    """One setting as the docs show it; `expects` says type, bounds and unit, default is a text."""

    variable: str
    expects: str
    default: str
    secret: bool
    help: str


def setting(
    default: Any = dataclasses.MISSING,
    *,
    help: str,
    unit: str = "",
    secret: bool = False,
    minimum: float | None = None,
    maximum: float | None = None,
) -> Any:
    """Declare a field; without `default` it is required (use kw_only=True). Bounds are inclusive.

    Types: str, int, float, bool, Path, a StrEnum, tuple[str, ...], Literal[...], each also | None.
    A ValueError raised by the class's `__post_init__` becomes a problem: let it name variables.
    """
    facts = {"help": help, "unit": unit, "secret": secret, "min": minimum, "max": maximum}
    return dataclasses.field(default=default, repr=not secret, metadata=facts)


def load(cls: type[T], prefix: str, environ: Mapping[str, str], file: Path | None = None) -> T:
    """Build `cls`; the environment wins over the TOML `file` (else the file named <prefix>CONFIG).

    A field `token` is the variable <prefix>TOKEN and the file's key `token`; a secret may instead
    be read from the file that <prefix>TOKEN_FILE names. A field whose type is such a class again
    is a group: its fields have its name before theirs (<prefix>GROUP_FIELD, `group_field`).
    Raises SettingsError with every problem.
    """
    problems: list[str] = []
    given = {k: v for k, v in environ.items() if k.startswith(prefix)}
    given = {k: v for k, v in given.items() if not _SERVICE_LINK.fullmatch(f"{k}={v}")}
    named = given.pop(f"{prefix}CONFIG", None)
    table = _read_toml(file or (Path(named) if named else None), problems)
    values: dict[str, Any] = {}
    for name, key, hint, field in _leaves(cls, prefix):
        facts = field.metadata
        in_table, raw = table.pop(key, None), given.pop(name, None)
        try:
            if facts["secret"] and f"{name}_FILE" in given:
                raw = _read_secret(name, given.pop(f"{name}_FILE"), raw)
            value = in_table if raw is None else raw
            if value is not None:
                values[key] = _parse(name, value, hint, facts)
            elif field.default is dataclasses.MISSING:
                problems.append(f"{name} is not set; it is required: {facts['help']}")
        except ValueError as error:
            problems.append(str(error))
    known = [row.variable for row in describe(cls, prefix)]
    problems += [_unknown(name, known) for name in given]
    problems += [_unknown(f"{prefix}{key.upper()}", known, file or named) for key in table]
    try:
        if not problems:
            return _build(cls, values)
    except ValueError as error:
        problems.append(str(error))
    raise SettingsError(problems)


def describe(cls: type, prefix: str) -> list[Row]:
    """Return one row per field, in the order of declaration, for the generated docs."""
    rows = []
    for name, _, hint, field in _leaves(cls, prefix):
        shown = ",".join(field.default) if isinstance(field.default, tuple) else str(field.default)
        shown = "required" if field.default is dataclasses.MISSING else shown
        shown = shown.lower() if field.default in (True, False, None) else shown
        expects, facts = _expected(hint, field.metadata), field.metadata
        rows.append(Row(name, expects, shown, facts["secret"], facts["help"]))
    return rows


def _leaves(cls: Any, prefix: str, group: str = "") -> Iterator[tuple[str, str, Any, Any]]:
    """Yield variable, key, type and field of each setting, those of groups in their place."""
    hints = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        key, hint = f"{group}{field.name}", hints[field.name]
        if dataclasses.is_dataclass(hint):
            yield from _leaves(hint, prefix, f"{key}_")
        else:
            yield f"{prefix}{key}".upper(), key, hint, field


def _build(cls: type[T], values: Mapping[str, Any], group: str = "") -> T:
    hints, given = get_type_hints(cls), {}
    for name in hints:
        if dataclasses.is_dataclass(hints[name]):
            given[name] = _build(hints[name], values, f"{group}{name}_")
        elif f"{group}{name}" in values:
            given[name] = values[f"{group}{name}"]
    return cls(**given)


def _read_toml(file: Path | None, problems: list[str]) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8")) if file else {}
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its text is not valid TOML"  # quotes nothing
        problems.append(f"the settings file {file} cannot be read: {reason}")
        return {}


def _read_secret(name: str, path: str, other: str | None) -> str:
    if other is not None:
        raise ValueError(f"{name} and {name}_FILE are both set; give one of them")
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ValueError(f"{name}_FILE names {path}, which cannot be read: {reason}") from None


def _unknown(name: str, known: list[str], file: object = None) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0)
    where = f" (a key of {file})" if file else ""
    return f"{name}{where} is not a setting; the nearest one is {near[0] if near else 'none'}"


def _split(hint: Any) -> tuple[Any, bool]:
    """Return the type without None, and whether None was allowed."""
    kinds = [kind for kind in get_args(hint) if kind is not NoneType]
    return (kinds[0], True) if NoneType in get_args(hint) else (hint, False)


def _parse(name: str, raw: object, hint: Any, facts: Mapping[str, Any]) -> object:
    kind, optional = _split(hint)
    if raw == "" and optional:
        return None
    try:
        value = _convert(raw, kind)
        low, high = facts["min"], facts["max"]
        low, high = -_HUGE if low is None else low, _HUGE if high is None else high
        if kind in (int, float) and not low <= value <= high:  # false for nan and inf as well
            raise ValueError
    except (TypeError, ValueError, KeyError):
        shown = "has a value (not shown)" if facts["secret"] else f"is {raw!r}"
        raise ValueError(f"{name} {shown}; it must be {_expected(hint, facts)}") from None
    return value


def _convert(raw: object, kind: Any) -> Any:
    if get_origin(kind) is tuple:
        items = raw.split(",") if isinstance(raw, str) else list(raw)  # type: ignore[call-overload]
        return tuple(item.strip() for item in items if item.strip())
    if get_origin(kind) is Literal:
        return {str(choice): choice for choice in get_args(kind)}[str(raw)]
    if isinstance(raw, dict | list):
        raise TypeError
    return _WORDS[str(raw).lower()] if kind is bool else kind(str(raw))


def _expected(hint: Any, facts: Mapping[str, Any]) -> str:
    kind, optional = _split(hint)
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    choices = tuple(kind) if isinstance(kind, EnumType) else choices
    names = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    text = names.get(kind) or ("a path" if kind is Path else "texts separated by commas")
    text = "one of " + ", ".join(map(str, choices)) if choices else text
    text += f" of {facts['unit']}" if facts["unit"] else ""
    low, high = facts["min"], facts["max"]
    text += "" if low is None else f", at least {low}"
    text += "" if high is None else f", at most {high}"
    return text + (", or nothing" if optional else "")
