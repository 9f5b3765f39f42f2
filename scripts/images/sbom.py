"""Writes what is in an image as an SPDX 2.3 document (JSON): from uv.lock and what is installed.

Called by `make images` and `make release-sbom`. The same lock gives the same bytes: the time is
that of SOURCE_DATE_EPOCH. Licences are what the installed distributions declare, never guessed.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, metadata
from typing import Any

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from scripts.images.closure import IMAGES
from scripts.images.lock import Locked, locked_closure

_PROJECT = "https://github.com/radar-audit/radar-audit"
_IMAGE = "SPDXRef-image"
_UNKNOWN = "NOASSERTION"
# Trove classifiers that name one licence; "BSD License" and the like do not.
_CLASSIFIED = {
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "License :: OSI Approved :: Python Software Foundation License": "PSF-2.0",
}


def sbom(
    part: str, python: str = "", base: str = "", environ: Mapping[str, str] = os.environ
) -> str:
    """Return the document of the image of `part`, as JSON.

    `python` is the Python that it runs ("3.13"; "" is this one), `base` the image that it is made
    from, with its digest. ImageError when uv.lock does not know the part.
    """
    packages = locked_closure(IMAGES[part], python)
    (main,) = (each for each in packages if each.name == IMAGES[part][0])
    described = [_image(main), *([_base(base)] if base else []), *map(_package, packages)]
    relations = [("SPDXRef-DOCUMENT", "DESCRIBES", _IMAGE)]
    relations += [(_IMAGE, "DESCENDANT_OF", "SPDXRef-base")] if base else []
    relations += [(_IMAGE, "CONTAINS", _id(each.name, each.version)) for each in packages]
    relations += [
        (_id(each.name, each.version), "DEPENDS_ON", _id(*need))
        for each in packages
        for need in each.needs
    ]
    content = {
        "packages": described,
        "relationships": [
            {"spdxElementId": one, "relationshipType": how, "relatedSpdxElement": other}
            for one, how, other in relations
        ],
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    name = f"{main.name}-{main.version}"
    epoch = int(environ.get("SOURCE_DATE_EPOCH", "0"))
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": f"{_PROJECT}/sbom/{name}-{digest}",
        "creationInfo": {
            "created": dt.datetime.fromtimestamp(epoch, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": ["Organization: Radar Audit", f"Tool: scripts-images-{main.version}"],
        },
        **content,
    }
    return json.dumps(document, indent=2) + "\n"


def _image(main: Locked) -> dict[str, Any]:
    purl = f"pkg:oci/{main.name}?repository_url=ghcr.io/radar-audit/{main.name}&tag={main.version}"
    return _described(_IMAGE, main.name, main.version, "Apache-2.0", purl) | {
        "primaryPackagePurpose": "CONTAINER"
    }


def _base(reference: str) -> dict[str, Any]:
    name, _, version = reference.partition("@")
    return _described("SPDXRef-base", name, version or _UNKNOWN, _UNKNOWN, None) | {
        "primaryPackagePurpose": "CONTAINER"
    }


def _package(package: Locked) -> dict[str, Any]:
    purl = None if package.is_ours else f"pkg:pypi/{package.name}@{package.version}"
    element, declared = _id(package.name, package.version), _licence(package.name)
    told = _described(element, package.name, package.version, declared, purl)
    if package.is_ours:
        return told | {"downloadLocation": f"git+{_PROJECT}@v{package.version}"}
    if package.url and package.sha256:
        told["downloadLocation"] = package.url
        told["checksums"] = [{"algorithm": "SHA256", "checksumValue": package.sha256}]
    return told


def _described(
    element: str, name: str, version: str, declared: str, purl: str | None
) -> dict[str, Any]:
    told: dict[str, Any] = {
        "SPDXID": element,
        "name": name,
        "versionInfo": version,
        "downloadLocation": _UNKNOWN,
        "filesAnalyzed": False,
        "licenseConcluded": _UNKNOWN,
        "licenseDeclared": declared,
        "copyrightText": _UNKNOWN,
    }
    if purl:
        reference = {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl"}
        told["externalRefs"] = [reference | {"referenceLocator": purl}]
    return told


def _licence(name: str) -> str:
    """Return the licence that the installed distribution declares, as SPDX writes it."""
    try:
        told = metadata(name)
    except PackageNotFoundError:
        return _UNKNOWN
    fields = told.json
    for field in ("license_expression", "license"):
        try:
            return str(canonicalize_license_expression(str(fields.get(field, ""))))
        except InvalidLicenseExpression:
            continue
    classifiers = fields.get("classifier", ())
    known = {_CLASSIFIED[each] for each in classifiers if each in _CLASSIFIED}
    return known.pop() if len(known) == 1 else _UNKNOWN


def _id(name: str, version: str) -> str:
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", f"{name}-{version}")
