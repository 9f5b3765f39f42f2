"""Ages of events as the fields of a form hold them, and in words: pure.

Owns both directions: an age is a number in a field and its unit in another one, in hours only where
it is not of whole days. Called by the forms of retention and of its exceptions. Never decides which
age is allowed: the bounds are the API's.
"""

from __future__ import annotations

from radar_audit_events.errors import FieldError
from radar_audit_events.policy_wire import MAX_AGE_HOURS, MIN_AGE_HOURS

from radar_audit_hub.errors import InvalidBodyError
from radar_audit_hub.web.forms import Form

_HOURS = {"days": 24, "hours": 1}
UNITS = tuple((unit, unit) for unit in _HOURS)


def age_texts(hours: int | None) -> dict[str, str]:
    """Return what the fields `age` and `age_unit` hold of an age; None: an empty one."""
    if hours is None:
        return {"age": "", "age_unit": "days"}
    unit = "hours" if hours % _HOURS["days"] else "days"
    return {"age": str(hours // _HOURS[unit]), "age_unit": unit}


def age_hours(form: Form, name: str) -> int | None:
    """Return the hours that a field and its unit say, None for an empty one.

    Raises InvalidBodyError.
    """
    text = form.text(name)
    if not text:
        return None
    unit = form.text(f"{name}_unit") or "days"
    if unit not in _HOURS:
        raise InvalidBodyError([FieldError(f"{name}_unit", "must be days or hours")])
    size = _HOURS[unit]
    least, most = MIN_AGE_HOURS // size, MAX_AGE_HOURS // size
    if not text.isascii() or not text.isdigit() or not least <= int(text[:7]) <= most:
        message = f"must be a whole number from {least} to {most} {unit}"
        raise InvalidBodyError([FieldError(name, message)])
    return int(text) * size


def age_words(hours: int) -> str:
    """Return an age in days where it is of whole days, else in hours."""
    days, rest = divmod(hours, _HOURS["days"])
    return f"{hours} hours" if rest else f"{days} day{'' if days == 1 else 's'}"
