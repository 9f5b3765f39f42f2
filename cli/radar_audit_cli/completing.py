"""Words that a shell offers while a command is typed.

Owns the completion of contexts, actions and target types. Called by click's
completion through the options. Never talks to a hub (a key press must not wait
for a network) and never fails: where nothing can be known it offers nothing.
"""

from __future__ import annotations

import os

import click
from radar_audit_events.actions import ACTIONS, TARGET_TYPES

from .contexts import config_path, read_contexts
from .errors import CliError


def complete_context(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of contexts that begin with what is typed."""
    try:
        names = read_contexts(config_path(os.environ)).named
    except CliError:
        return []
    return sorted(name for name in names if name.startswith(incomplete))


def complete_action(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Return the actions, and the prefixes such as `pod.*`, that begin with what is typed."""
    prefixes = {f"{action.category}.*" for action in ACTIONS.values()}
    return sorted(name for name in {*ACTIONS, *prefixes} if name.startswith(incomplete))


def complete_target_type(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Return the target types that begin with what is typed."""
    return sorted(kind for kind in TARGET_TYPES if kind.startswith(incomplete))
