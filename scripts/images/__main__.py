"""`make images`: builds the three images as OCI archives, each with its SBOM beside it.

Owns the command line. Says on standard output what it built; see docs/releasing.md.
"""

from __future__ import annotations

import argparse
import os
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path

from scripts.images.build import build
from scripts.images.closure import IMAGES, ROOT
from scripts.images.errors import ImageError
from scripts.images.sbom import sbom


def kept_layers(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder, outside the checkout, in which layers are kept for the next build."""
    given = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME", "/root")) / ".cache")
    return Path(given).resolve() / "radar-audit" / "images"


def main(arguments: list[str]) -> int:
    """Build what `arguments` say; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.images")
    parser.add_argument("part", nargs="*", metavar="PART", help=f"of {', '.join(IMAGES)}")
    parser.add_argument("--tag", help="instead of the hash of what is in the image")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "images")
    parser.add_argument("--layers", type=Path, default=kept_layers())
    options = parser.parse_args(arguments)
    version = sys.version.split()[0]
    print(f"for this machine alone: Python {version}, {ssl.OPENSSL_VERSION}")
    try:
        for part in options.part or IMAGES:
            built = build(part, options.layers, options.output, options.tag)
            described = options.output / f"{part}.spdx.json"
            described.write_text(sbom(part), encoding="utf-8")
            size = built.path.stat().st_size / 1e6
            print(f"{built.name}  {built.id}  {size:.0f} MB  {built.path}")
    except ImageError as error:
        sys.stderr.write(f"images: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
