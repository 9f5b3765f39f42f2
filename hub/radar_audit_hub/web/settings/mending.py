"""What a refused form says: each mistake at its field by the page's own name, others as a whole.

Owns the sentences above a form. Called by the forms of this folder whose fields are not the
API's. Never decides what is a mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from radar_audit_events.errors import FieldError

from radar_audit_hub.errors import HubError, InvalidBodyError
from radar_audit_hub.web.forms import Mistakes

from .answering import refusal

UNCHANGED = "Nothing was changed."


def refused(
    error: HubError | None,
    labels: Mapping[str, str],
    on_page: Callable[[FieldError], FieldError],
) -> tuple[int, Mistakes]:
    """Return the status of a refused form's page and what it shows; None: all is well.

    `labels` are the page's fields by their names; `on_page` says a mistake in the page's words.
    One of no field of the page is told in a sentence of its own.
    """
    status, mistakes = refusal(error)
    if not isinstance(error, InvalidBodyError):
        return status, mistakes
    fields: dict[str, str] = {}
    sentences = [UNCHANGED]
    for found in map(on_page, error.errors):
        if found.field not in labels:
            sentences.append(_sentence(f"{found.field} {found.message}"))
        elif found.field not in fields:
            fields[found.field] = found.message
        elif found.message not in fields[found.field]:
            fields[found.field] += f"; {found.message}"
    return status, Mistakes(fields, " ".join(sentences))


def _sentence(text: str) -> str:
    said = text.strip()
    return f"{said[:1].upper()}{said[1:]}."
