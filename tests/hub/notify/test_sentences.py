"""Each action has a sentence for people, on one line, whatever names people choose."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from radar_audit_events.actions import ACTIONS
from radar_audit_hub.notify.sentences import _SENTENCES, sentence, title_of

from tests.support.log_rows import make_event
from tests.support.queries import events


def test_every_action_has_a_sentence() -> None:
    assert set(_SENTENCES) == set(ACTIONS)


@pytest.mark.parametrize(
    ("action", "metadata", "said"),
    [
        ("pod.exec_started", {}, "opened a terminal in payments/web-1 (cluster prod)"),
        ("pod.exec_ended", {}, "closed the terminal in payments/web-1 (cluster prod) after 1 s"),
        (
            "cluster.action_denied",
            {"namespace": "payments", "pod": "web-1", "role": "viewer"},
            "was denied pod.exec in payments/web-1 (cluster cl_1); it needs the role member",
        ),
        ("cluster.token_rotated", {}, "rotated the token of the cluster prod"),
        ("pat.created", {"via_pat": "ci"}, "created the access token ci-bot (with the token ci)"),
        ("org.updated", {}, "changed the organization (name)"),
        ("org_invitation.created", {}, "invited bob@acme.com as member"),
        ("auth.signin", {}, "signed in by oidc"),
    ],
)
def test_sentence_says_who_did_what(action: str, metadata: dict[str, Any], said: str) -> None:
    assert sentence(make_event(action=action, metadata=metadata)) == f"alice@acme.com {said}"


def test_actor_is_named_by_what_is_known_of_him() -> None:
    nobody = make_event(actor_email=None, actor_user_id=None)
    assert sentence(nobody).startswith("Radar opened")
    assert sentence(make_event(actor_email=None)).startswith("user_alice opened")


def test_action_of_a_later_version_is_named() -> None:
    later = msgspec.structs.replace(make_event(), action="pod.copied")
    assert sentence(later) == "alice@acme.com: pod.copied"
    assert (title_of("pod.copied"), title_of("pat.created")) == (
        "pod.copied",
        "Access token created",
    )


@given(events(), st.text(max_size=300))
def test_sentence_is_one_line_whatever_the_names_are(event: Any, name: str) -> None:
    metadata = {key: name for key, value in event.metadata.items() if isinstance(value, str)}
    event.metadata.update(metadata)
    said = sentence(event)
    assert said.isprintable()
    assert len(said) < 800
