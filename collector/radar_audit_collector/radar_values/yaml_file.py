"""Values files as YAML: read strictly, written so that Helm reads back the same.

Owns the one place of the collector that imports PyYAML. Called by `command`.
Never resolves what YAML 1.1, YAML 1.2 and Go read differently (yes, 1e3, 010):
such a word is kept as it was written. Never follows an alias, so that a small
file stays small in memory.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

import yaml

from .merging import ValuesError

MAX_BYTES = 1024 * 1024  # Helm keeps values in a Secret, which holds no more
_WORDS = frozenset({"", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n", "<<"})
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})\Z")
# What some reader of YAML takes for a number, a date or a special word.
_AMBIGUOUS = re.compile(r"[-+.0-9]")
_PLAIN_TAG = "!plain"


class Plain(str):
    """A word without quotes that readers of YAML understand differently; written as it was."""

    __slots__ = ()


def read_values(data: bytes, name: str) -> dict[str, Any]:
    """Return the mapping in `data`; an empty file or `null` is an empty one.

    `name` is what the file is called in errors. Raises ValuesError.
    """
    if len(data) > MAX_BYTES:
        raise ValuesError(f"{name} has more than {MAX_BYTES} bytes, too many for values")
    try:
        values = yaml.load(data, Loader=_Loader)  # noqa: S506 - a SafeLoader, see below
    except yaml.MarkedYAMLError as exc:
        where = f" (line {exc.problem_mark.line + 1})" if exc.problem_mark else ""
        raise ValuesError(f"{name} cannot be read as YAML: {exc.problem}{where}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ValuesError(
            f"{name} cannot be read as YAML; it must be what `helm get values -o yaml` prints"
        ) from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ValuesError(f"{name} holds no mapping; it must be what `helm get values` prints")
    return values


def write_values(values: Mapping[str, Any]) -> str:
    """Return `values` as YAML, keys in their order, doubtful texts in quotes."""
    return yaml.dump(
        values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100, indent=2
    )


def _tag_of_plain(word: str) -> str:
    """Return the tag of a word without quotes: ours for all that readers disagree about."""
    if word in ("true", "false"):
        return "tag:yaml.org,2002:bool"
    if word == "null":
        return "tag:yaml.org,2002:null"
    if _NUMBER.match(word):
        return "tag:yaml.org,2002:int"
    is_doubtful = word.lower() in _WORDS or _AMBIGUOUS.match(word)
    return _PLAIN_TAG if is_doubtful else "tag:yaml.org,2002:str"


class _Resolver:
    """Reading and writing agree on what a word without quotes is."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """Return the tag of a node that names none."""
        if kind is yaml.ScalarNode and implicit[0]:
            return _tag_of_plain(value)
        return _TAGS[kind]


_TAGS = {
    yaml.ScalarNode: "tag:yaml.org,2002:str",
    yaml.SequenceNode: "tag:yaml.org,2002:seq",
    yaml.MappingNode: "tag:yaml.org,2002:map",
}


class _Loader(_Resolver, yaml.SafeLoader):
    """PyYAML's safe loader without aliases, doubled keys and guesses at scalars."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node; an alias is refused. Raises ComposerError."""
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not read here", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 - PyYAML's
        """Construct a mapping; a key that is there twice is refused. Raises ConstructorError."""
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int) or key in seen or key == "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is doubled or of no use", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)

    def construct_plain(self, node: Any) -> Plain:
        """Keep a doubtful word as it was written."""
        return Plain(node.value)

    yaml_constructors: ClassVar[dict[Any, Any]] = {
        **yaml.SafeLoader.yaml_constructors,
        _PLAIN_TAG: construct_plain,
    }


class _Dumper(_Resolver, yaml.SafeDumper):
    """PyYAML's safe dumper; items are indented under their key, nothing is aliased."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write every value out in full."""
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:  # noqa: FBT001, FBT002 - PyYAML's
        """Indent the items of a list under its key."""
        return super().increase_indent(flow, False)

    def represent_text(self, text: str) -> Any:
        """Write a text, one of several lines as such; a doubtful one gets quotes by its tag."""
        style = "|" if "\n" in text else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    def represent_plain(self, word: Plain) -> Any:
        """Write a doubtful word without quotes, as it was."""
        return self.represent_scalar(_PLAIN_TAG, str(word))

    yaml_representers: ClassVar[dict[Any, Any]] = {
        **yaml.SafeDumper.yaml_representers,
        str: represent_text,
        Plain: represent_plain,
    }
