"""Makes an image that runs this project's programs, from the Python and the .venv of this machine.

Three layers, each made anew only when what it is made of has changed: the interpreter with its
standard library and shared libraries, the packages of uv.lock that the parts need, the parts
themselves. Called by tests that run a part in a pod. Downloads nothing.
"""

from __future__ import annotations

import fnmatch
import hashlib
import py_compile
import re
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

from tests.cluster.errors import ClusterError
from tests.cluster.images import Archive, add_accounts, add_busybox
from tests.cluster.oci import Image, Layer, LayerWriter, read_layer, write_archive, write_layer

PYTHON_IMAGE = "localhost/radar-audit/python"
PARTS = ("radar-audit-collector", "radar-audit-hub", "radar-audit-cli")
_ROOT = Path(__file__).parents[2]
_NAMED = f"python{sys.version_info.major}.{sys.version_info.minor}"
_PREFIX = "/usr/local"
_SITE = "/app"
# What no program of ours imports, by its path in the standard library's folder.
_LEFT_OUT = (
    "config-*", "dist-packages", "ensurepip", "idlelib", "lib2to3", "lib-dynload/_test*",
    "lib-dynload/_tkinter*", "pydoc_data", "site-packages", "test", "tkinter", "turtledemo",
)  # fmt: skip
_KEPT = 4
_FORM = "1"  # raise it when this module makes other layers of the same input


def python_archive(folder: Path) -> Archive:
    """Write the image with all parts into `folder` and return it.

    It has no entry point of its own: a pod says `python3 -m radar_audit_collector`. Its user is
    65532. The tag is the hash of its layers, so a changed part has another name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ours, others = split_closure(PARTS)
    layers = (_base(folder, others), _packages(folder, others), _parts(folder, ours))
    digest = hashlib.sha256("".join(layer.digest for layer in layers).encode()).hexdigest()
    name = f"{PYTHON_IMAGE}:{digest[:12]}"
    environ = {
        "PATH": f"{_PREFIX}/bin:/usr/bin:/bin",
        "PYTHONPATH": _SITE,
        "PYTHONUNBUFFERED": "1",
        "LANG": "C.UTF-8",
    }
    path = folder / f"python-{digest[:12]}.oci.tar"
    if not path.exists():
        write_archive(path, Image(name, layers, environ=environ, user="65532:65532"))
    _forget_old(folder, [path, *(layer.path for layer in layers)])
    return Archive(name, path)


def _forget_old(folder: Path, used: Iterable[Path]) -> None:
    """Note that `used` were, and keep only the last few used of each kind."""
    for path in used:
        path.touch()
    for pattern in ("python-*.oci.tar", "base-*.layer", "packages-*.layer", "parts-*.layer"):
        found = sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in found[_KEPT:]:
            path.unlink(missing_ok=True)


def split_closure(parts: Iterable[str]) -> tuple[list[Distribution], list[Distribution]]:
    """Return the installed distributions that `parts` need: ours, and those of others, by name."""
    found: dict[str, Distribution] = {}
    waiting = [Requirement(part) for part in parts]
    seen: set[tuple[str, str]] = set()
    while waiting:
        wanted = waiting.pop()
        name = normal_name(wanted.name)
        for extra in {"", *wanted.extras}:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            try:
                found[name] = distribution(name)
            except PackageNotFoundError:
                raise ClusterError(f"{name} is not installed; run `scripts/bootstrap`") from None
            for line in found[name].requires or ():
                need = Requirement(line)
                if need.marker is None or need.marker.evaluate({"extra": extra}):
                    waiting.append(need)
    ours = [found[name] for name in sorted(found) if name.startswith("radar-audit-")]
    others = [found[name] for name in sorted(found) if not name.startswith("radar-audit-")]
    return ours, others


def normal_name(name: str) -> str:
    """Return a distribution's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def shared_libraries(told_by_ldd: str) -> set[Path]:
    """Return the files that `ldd` names; the kernel's own has none."""
    return {Path(path) for path in re.findall(r"(/\S+) \(0x[0-9a-f]+\)", told_by_ldd)}


def _base(folder: Path, others: list[Distribution]) -> Layer:
    interpreter = Path(sys.executable).resolve()
    library = Path(sysconfig.get_path("stdlib"))
    own = library.glob("lib-dynload/*.so")
    extensions = [path for path in own if _is_wanted(str(path.relative_to(library)))]
    extensions += _extensions(others)
    key = _key([sys.version, str(interpreter), str(library), *_pins(others)])

    def fill(writer: LayerWriter) -> None:
        add_accounts(writer)
        add_busybox(writer)
        writer.file(f"{_PREFIX}/bin/{_NAMED}", interpreter, 0o755)
        writer.link(f"{_PREFIX}/bin/python3", _NAMED)
        writer.tree(f"{_PREFIX}/lib/{_NAMED}", library, _is_wanted)
        _add_bytecode(writer, f"{_PREFIX}/lib/{_NAMED}", library, _sources(library))
        for found in sorted(_needed_libraries([interpreter, *extensions])):
            writer.file(str(found), found.resolve(), 0o755)

    return _layer(folder, "base", key, fill)


def _packages(folder: Path, others: list[Distribution]) -> Layer:
    def fill(writer: LayerWriter) -> None:
        for found in others:
            site = Path(str(found.locate_file("")))
            inside = _own_files(found)
            for path in inside:
                writer.file(f"{_SITE}/{path}", site / path)
            _add_bytecode(writer, _SITE, site, [path for path in inside if path.endswith(".py")])

    return _layer(folder, "packages", _key([sys.version, *_pins(others)]), fill)


def _parts(folder: Path, ours: list[Distribution]) -> Layer:
    sources = {
        package: sorted(str(path.relative_to(package.parent)) for path in _files(package))
        for found in ours
        for package in [_package_folder(found)]
    }
    texts = [
        hashlib.sha256((package.parent / path).read_bytes()).hexdigest() + path
        for package, paths in sources.items()
        for path in paths
    ]

    def fill(writer: LayerWriter) -> None:
        for package, paths in sources.items():
            for path in paths:
                writer.file(f"{_SITE}/{path}", package.parent / path, 0o644)
            programs = [path for path in paths if path.endswith(".py")]
            _add_bytecode(writer, _SITE, package.parent, programs)
        for found in ours:
            about = f"{_SITE}/{found.name.replace('-', '_')}-{found.version}.dist-info"
            for name in ("METADATA", "entry_points.txt"):
                text = found.read_text(name)
                if text is not None:
                    writer.text(f"{about}/{name}", text)

    return _layer(folder, "parts", _key([sys.version, *_pins(ours), *texts]), fill)


def _layer(folder: Path, name: str, key: str, fill: Callable[[LayerWriter], None]) -> Layer:
    path = folder / f"{name}-{key}.layer"
    return read_layer(path) if path.exists() else write_layer(path, fill)


def _key(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join([_FORM, *parts]).encode()).hexdigest()[:16]


def _pins(found: Iterable[Distribution]) -> list[str]:
    return [f"{each.name}=={each.version}" for each in found]


def _own_files(found: Distribution) -> list[str]:
    """Return a distribution's files in site-packages, without programs in bin/ and bytecode."""
    paths = [str(path) for path in found.files or ()]
    return [path for path in paths if not path.startswith("..") and "__pycache__" not in path]


def _extensions(others: Iterable[Distribution]) -> list[Path]:
    return [
        Path(str(found.locate_file(path)))
        for found in others
        for path in _own_files(found)
        if path.endswith(".so")
    ]


def _package_folder(found: Distribution) -> Path:
    name = found.name.replace("-", "_")
    return _ROOT / found.name.removeprefix("radar-audit-") / name


def _files(package: Path) -> list[Path]:
    found = (path for path in package.rglob("*") if "__pycache__" not in path.parts)
    return [path for path in found if path.is_file()]


def _is_wanted(relative: str) -> bool:
    if relative.rpartition("/")[2] == "__pycache__":
        return False
    return not any(fnmatch.fnmatchcase(relative, pattern) for pattern in _LEFT_OUT)


def _sources(library: Path) -> list[str]:
    """Return the standard library's wanted modules, folder by folder, as paths below `library`."""
    found: list[str] = []
    waiting = [library]
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            relative = str(path.relative_to(library))
            if not _is_wanted(relative):
                continue
            if path.is_dir():
                waiting.append(path)
            elif path.suffix == ".py":
                found.append(relative)
    return found


def _add_bytecode(writer: LayerWriter, target: str, root: Path, sources: Iterable[str]) -> None:
    """Add compiled modules that are used without a look at their sources' times.

    The root of a pod is often read-only, so each start would compile them anew.
    """
    with tempfile.TemporaryDirectory() as scratch:
        compiled = Path(scratch) / "compiled.pyc"
        for source in sources:
            try:
                py_compile.compile(
                    str(root / source), str(compiled), f"{target}/{source}", doraise=True,
                    invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
                )  # fmt: skip
            except py_compile.PyCompileError:
                continue  # written for another Python, and not imported by this one
            folder, _, name = source.rpartition("/")
            cached = f"{Path(name).stem}.{sys.implementation.cache_tag}.pyc"
            writer.file("/".join([target, *folder.split("/"), "__pycache__", cached]), compiled)


def _needed_libraries(programs: Iterable[Path]) -> set[Path]:
    told = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False)
    return shared_libraries(told.stdout)
