"""Makes the layers of an image of ours from the Python and the .venv of this machine.

Three layers, each made anew only when what it is made of has changed: the interpreter with its
standard library and shared libraries, the packages of uv.lock that the parts need, the parts
themselves with their programs. Called by `build`, and by tests for an image of their own. Downloads
nothing; what it leaves out of the standard library is listed below.
"""

from __future__ import annotations

import fnmatch
import hashlib
import py_compile
import re
import ssl
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import Distribution
from pathlib import Path

from scripts.images.closure import own_files, package_folder, pins, programs
from scripts.images.oci import Layer, LayerWriter, read_layer, write_layer

USER = "65532:65532"
PREFIX = "/usr/local"
SITE = "/app"
ENVIRON: Mapping[str, str] = {
    "PATH": f"{PREFIX}/bin:/usr/bin:/bin",
    "PYTHONPATH": SITE,
    "PYTHONUNBUFFERED": "1",
    "LANG": "C.UTF-8",
}
_NAMED = f"python{sys.version_info.major}.{sys.version_info.minor}"
_ACCOUNTS = {
    "/etc/passwd": "root:x:0:0:root:/:/bin/sh\nnobody:x:65532:65532:nobody:/tmp:/bin/sh\n",
    "/etc/group": "root:x:0:\nnobody:x:65532:\n",
}
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
# What no program of ours imports, by its path in the standard library's folder.
_LEFT_OUT = (
    "config-*", "dist-packages", "ensurepip", "idlelib", "lib2to3", "lib-dynload/_test*",
    "lib-dynload/_tkinter*", "pydoc_data", "site-packages", "test", "tkinter", "turtledemo",
)  # fmt: skip
_PROGRAM = """\
#!{python}
import sys
from {module} import {function}
sys.exit({function}())
"""
_FORM = "3"  # raise it when this module makes other layers of the same input


def add_accounts(writer: LayerWriter) -> None:
    """Add what every image has: root, an unprivileged account (65532), a /tmp for all."""
    for target, text in _ACCOUNTS.items():
        writer.text(target, text)
    writer.folder("/tmp", 0o1777)  # noqa: S108 - the image's own


def python_layer(folder: Path) -> Layer:
    """Return the layer of the interpreter, kept in `folder`; it has no pip and no shell."""
    interpreter = Path(sys.executable).resolve()
    library = Path(sysconfig.get_path("stdlib"))
    found = library.glob("lib-dynload/*.so")
    extensions = [path for path in found if _is_wanted(str(path.relative_to(library)))]
    authorities = _AUTHORITIES.read_bytes() if _AUTHORITIES.exists() else b""
    trust = hashlib.sha256(authorities).hexdigest()

    def fill(writer: LayerWriter) -> None:
        add_accounts(writer)
        writer.file(f"{PREFIX}/bin/{_NAMED}", interpreter, 0o755)
        writer.link(f"{PREFIX}/bin/python3", _NAMED)
        writer.tree(f"{PREFIX}/lib/{_NAMED}", library, _is_wanted)
        _add_bytecode(writer, f"{PREFIX}/lib/{_NAMED}", library, _sources(library))
        _add_libraries(writer, [interpreter, *extensions])
        # Where this interpreter's OpenSSL looks for authorities.
        writer.text(ssl.get_default_verify_paths().openssl_cafile, authorities.decode())

    key = layer_key([sys.version, ssl.OPENSSL_VERSION, str(interpreter), str(library), trust])
    return kept_layer(folder, "python", key, fill)


def packages_layer(folder: Path, others: list[Distribution]) -> Layer:
    """Return the layer of the libraries of others, with the shared libraries that they need."""

    def fill(writer: LayerWriter) -> None:
        extensions = []
        for found in others:
            site = Path(str(found.locate_file("")))
            inside = own_files(found)
            for path in inside:
                writer.file(f"{SITE}/{path}", site / path)
            _add_bytecode(writer, SITE, site, [path for path in inside if path.endswith(".py")])
            extensions += [site / path for path in inside if path.endswith(".so")]
        _add_libraries(writer, extensions)

    key = layer_key([sys.version, sys.executable, *pins(others)])
    return kept_layer(folder, "packages", key, fill)


def parts_layer(folder: Path, ours: list[Distribution]) -> Layer:
    """Return the layer of our own distributions: modules, metadata and programs."""
    sources = {
        package: sorted(str(path.relative_to(package.parent)) for path in _files(package))
        for found in ours
        for package in [package_folder(found)]
    }
    texts = [
        hashlib.sha256((package.parent / path).read_bytes()).hexdigest() + path
        for package, paths in sources.items()
        for path in paths
    ]

    def fill(writer: LayerWriter) -> None:
        for package, paths in sources.items():
            for path in paths:
                writer.file(f"{SITE}/{path}", package.parent / path, 0o644)
            modules = [path for path in paths if path.endswith(".py")]
            _add_bytecode(writer, SITE, package.parent, modules)
        for found in ours:
            about = f"{SITE}/{found.name.replace('-', '_')}-{found.version}.dist-info"
            for name in ("METADATA", "entry_points.txt"):
                text = found.read_text(name)
                if text is not None:
                    writer.text(f"{about}/{name}", text)
        for name, target in sorted(programs(ours).items()):
            module, _, function = target.partition(":")
            text = _PROGRAM.format(python=f"{PREFIX}/bin/python3", module=module, function=function)
            writer.text(f"{PREFIX}/bin/{name}", text, 0o755)

    targets = [f"{name}={target}" for name, target in sorted(programs(ours).items())]
    return kept_layer(
        folder, "parts", layer_key([sys.version, *pins(ours), *targets, *texts]), fill
    )


def kept_layer(folder: Path, name: str, key: str, fill: Callable[[LayerWriter], None]) -> Layer:
    """Return the layer of that key in `folder`; `fill` makes it when it is not there yet."""
    path = folder / f"{name}-{key}.layer"
    return read_layer(path) if path.exists() else write_layer(path, fill)


def layer_key(parts: Iterable[str]) -> str:
    """Return a name for what a layer is made of."""
    return hashlib.sha256("\0".join([_FORM, *parts]).encode()).hexdigest()[:16]


def shared_libraries(told_by_ldd: str) -> set[Path]:
    """Return the files that `ldd` names; the kernel's own has none."""
    return {Path(path) for path in re.findall(r"(/\S+) \(0x[0-9a-f]+\)", told_by_ldd)}


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


def _add_libraries(writer: LayerWriter, found: Iterable[Path]) -> None:
    told = subprocess.run(["ldd", *found], capture_output=True, text=True, check=False)
    for path in sorted(shared_libraries(told.stdout)):
        writer.file(str(path), path.resolve(), 0o755)
