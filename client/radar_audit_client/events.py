"""One action to be recorded, and what became of it.

Owns the two forms and their coding. Called by `recorder.py`. Never touches the network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from .errors import ClientError

Outcome = Literal["accepted", "duplicate", "expired", "rejected"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One action.

    `key` (1 to 128 printable characters without spaces) stands for it for ever. `target_id` is
    what it was done to (`cl_…`, `user_…`), `created_at` when, with a time zone. `actor` is the id
    or e-mail of a member, None for nobody; `metadata` is as the action's schema has it. Raises
    ValueError for a time without a zone.
    """

    key: str
    action: str
    target_id: str
    created_at: datetime
    actor: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a time that nobody could place."""
        if self.created_at.utcoffset() is None:
            raise ValueError("created_at needs a time zone, such as datetime.now(UTC)")

    def as_json(self) -> dict[str, Any]:
        """Return the event as it is sent."""
        moment = self.created_at.astimezone(UTC).isoformat(timespec="milliseconds")
        return {
            "key": self.key,
            "action": self.action,
            "target_id": self.target_id,
            "created_at": moment.replace("+00:00", "Z"),
            "actor": self.actor,
            "metadata": dict(self.metadata),
        }


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One wrong field of an event, and what would be right."""

    field: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The fate of one event: `id` is the log's; `code`, `message`, `errors` say what is wrong."""

    outcome: Outcome
    id: str | None = None
    code: str | None = None
    message: str | None = None
    errors: tuple[FieldProblem, ...] = ()


def read_results(answer: Any, count: int) -> Sequence[Result]:
    """Read the server's answer to `count` events. Raises ClientError if it is none."""
    try:
        results = [_result(one) for one in answer["results"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ClientError("the server's answer is not one of this API") from error
    if len(results) != count:
        raise ClientError("the server's answer has not one result for each event")
    return results


def _result(one: Any) -> Result:
    if one["result"] not in get_args(Outcome):
        raise ValueError
    return Result(
        outcome=one["result"],
        id=one.get("id"),
        code=one.get("code"),
        message=one.get("message"),
        errors=tuple(FieldProblem(e["field"], e["message"]) for e in one.get("errors", ())),
    )
