"""Guards the rules of the house (docs/architecture.md): sizes, names, headers, layout."""

from __future__ import annotations

import ast
import fnmatch
import gc
import io
import statistics
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("events", "runtime", "collector", "hub", "operator", "cli", "client")
SOURCES = tuple(p for part in PARTS for p in sorted((ROOT / part).glob("radar_audit_*/**/*.py")))
PROGRAMS = tuple(sorted((ROOT / "scripts").glob("**/*.py")))
TESTS = tuple(sorted((ROOT / "tests").glob("**/*.py")))
ALL = (*SOURCES, *PROGRAMS, *TESTS)

BANNED_NAMES = {"utils", "util", "common", "helpers", "helper", "misc", "manager", "base"}
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DOCUMENTED = (*_FUNCTIONS, ast.ClassDef)
_AT_IMPORT = (ast.For, ast.While, ast.With)


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@pytest.fixture(scope="module", autouse=True)
def _no_garbage_is_looked_for() -> Iterator[None]:
    """A million nodes are no garbage: a collector that looks takes ten times their parsing."""
    gc.disable()
    yield
    _tree.cache_clear()
    gc.enable()


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(_tree(path)) if isinstance(node, _FUNCTIONS))


def _length(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_the_rules_see_the_sources() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in SOURCES} == set(PARTS)
    assert len(ALL) > 50


def test_no_file_is_over_400_lines() -> None:
    assert not [f"{_name(path)}: {_length(path)}" for path in ALL if _length(path) > 400]


def test_no_function_is_over_60_lines() -> None:
    long = [
        f"{_name(path)}:{node.lineno} {node.name}"
        for path in ALL
        for node in _functions(path)
        if (node.end_lineno or 0) - node.lineno + 1 > 60
    ]
    assert not long


def test_the_median_module_stays_near_120_lines() -> None:
    lengths = [_length(path) for path in SOURCES if path.name != "__init__.py"]
    assert statistics.median(lengths) <= 160


def test_every_module_begins_with_a_header() -> None:
    assert not [_name(path) for path in ALL if not ast.get_docstring(_tree(path))]


def test_every_public_name_is_documented() -> None:
    bare = []
    for path in SOURCES:
        classes = [node for node in _tree(path).body if isinstance(node, ast.ClassDef)]
        scopes: list[ast.Module | ast.ClassDef] = [_tree(path), *classes]
        bare += [
            f"{_name(path)}:{node.lineno} {node.name}"
            for scope in scopes
            if not getattr(scope, "name", "").startswith("_")
            for node in scope.body
            if isinstance(node, _DOCUMENTED) and not node.name.startswith("_")
            if not ast.get_docstring(node)
        ]
    assert not bare


def test_no_function_imports() -> None:
    inside = [
        f"{_name(path)}:{inner.lineno}"
        for path in ALL
        for node in _functions(path)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    ]
    assert not inside


def test_importing_a_module_does_no_work() -> None:
    work = [
        f"{_name(path)}:{node.lineno}"
        for path in SOURCES
        for node in _tree(path).body
        if isinstance(node, _AT_IMPORT)
        or (isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant))
    ]
    assert not work


def test_package_files_only_export() -> None:
    allowed = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.Expr)
    for path in SOURCES:
        if path.name == "__init__.py":
            assert _length(path) < 30, _name(path)
            assert all(isinstance(node, allowed) for node in _tree(path).body), _name(path)


def test_no_module_or_folder_has_an_empty_name() -> None:
    named = {part for path in ALL for part in path.relative_to(ROOT).with_suffix("").parts}
    assert not named & BANNED_NAMES


def test_the_root_holds_at_most_22_entries() -> None:
    lines = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    ignored = {line.strip("/") for line in lines} | {".git"}
    shown = [
        entry.name
        for entry in ROOT.iterdir()
        if not any(fnmatch.fnmatch(entry.name, pattern) for pattern in ignored)
    ]
    assert len(shown) <= 22, sorted(shown)


def test_the_process_kit_stays_small() -> None:
    """Every sidecar pays for it: at most 400 lines of code (no blanks, comments, docstrings)."""
    kit = [path for path in SOURCES if "radar_audit_runtime" in path.parts]
    assert sum(_lines_of_code(path) for path in kit) <= 400


def _lines_of_code(path: Path) -> int:
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
    lines = {
        line
        for token in tokens
        if token.type not in silent and token.type != tokenize.ENDMARKER
        for line in range(token.start[0], token.end[0] + 1)
    }
    for node in ast.walk(_tree(path)):
        if isinstance(node, (*_DOCUMENTED, ast.Module)) and ast.get_docstring(node):
            lines -= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return len(lines)


@pytest.mark.parametrize("outside", ["../" + "shared", "/work" + "/"])
def test_nothing_refers_to_a_folder_outside_the_project(outside: str) -> None:
    texts = [*ALL, *ROOT.glob("*.md"), *ROOT.glob("*.toml"), *ROOT.glob("docs/**/*.md")]
    texts += [ROOT / "Makefile", ROOT / ".ci" / "run", ROOT / "scripts" / "bootstrap"]
    assert not [_name(path) for path in texts if outside in path.read_text(encoding="utf-8")]
