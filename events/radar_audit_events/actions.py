"""The closed table of actions: one row each, everything else derived from it.

Owns which actions exist, what metadata each carries, which keys are personal
data, and who may produce it. Called by the hub (validation, schemas, pages),
the collector (names) and the CLI (completion). Never holds a rule about roles
or routes; those live with the handlers.

Source of the rows: Radar Cloud's public audit-log page for the 24 actions; the
rows marked `extension` are this project's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

FieldType = Literal["string", "integer", "boolean", "string_list", "labels", "changes"]
Severity = Literal["info", "notice", "warning"]
Producer = Literal["hub", "collector", "api"]


@dataclass(frozen=True, slots=True)
class Field:
    """One metadata key: its type, whether it must be there, may be null, is personal data.

    `choices` closes a string to a set of words; `minimum` bounds an integer.
    """

    name: str
    type: FieldType = "string"
    required: bool = True
    nullable: bool = False
    personal: bool = False
    choices: tuple[str, ...] = ()
    minimum: int | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """One row of the table.

    `title` is for people; `producers` says who may write it: the hub's own
    mutations, a collector's ingest, or another control plane through the API.
    """

    name: str
    target_type: str
    title: str
    fields: tuple[Field, ...]
    severity: Severity = "info"
    producers: frozenset[Producer] = frozenset({"hub", "api"})
    extension: bool = False
    # Metadata keys that hold personal data, so live in the salted commitment only.
    personal_keys: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Work out once what every event asks for."""
        object.__setattr__(
            self, "personal_keys", frozenset(f.name for f in self.fields if f.personal)
        )

    @property
    def category(self) -> str:
        """The word before the first dot: cluster, pod, org, org_member and so on."""
        return self.name.partition(".")[0]


def _opt(name: str, kind: FieldType = "string", **more: object) -> Field:
    return Field(name, kind, required=False, **more)  # type: ignore[arg-type]


ROLES = ("owner", "auditor", "member", "viewer")
_ROLE = Field("role", choices=ROLES)
_EMAIL = Field("email", personal=True)
_COLLECTOR: frozenset[Producer] = frozenset({"collector"})
_COLLECTOR_OR_HUB: frozenset[Producer] = frozenset({"collector", "hub", "api"})
_HUB_ONLY: frozenset[Producer] = frozenset({"hub"})
END_REASONS = (
    "client_closed",
    "server_closed",
    "error",
    "collector_shutdown",
    "collector_restart",
    "assumed",
)
# `via_pat` is added by the hub to every action done with a personal access token.
VIA_PAT = _opt("via_pat")

_EXEC = (
    Field("cluster_id"),
    Field("cluster_name"),
    Field("namespace"),
    Field("pod"),
    Field("session_id"),
    _opt("container"),
)
_SUBSCRIPTION = (
    Field("subscription_id"),
    Field("previous_plan", nullable=True),
    Field("plan", nullable=True),
    Field("previous_quantity", "integer", nullable=True, minimum=0),
    Field("quantity", "integer", nullable=True, minimum=0),
    Field("previous_status", nullable=True),
    Field("status"),
    Field("reason"),
)

_ROWS: tuple[Action, ...] = (
    Action(
        "cluster.created",
        "cluster",
        "Cluster created",
        (Field("name"), Field("environment"), _opt("labels", "labels")),
    ),
    Action("cluster.updated", "cluster", "Cluster changed", (Field("changes", "changes"),)),
    Action("cluster.deleted", "cluster", "Cluster deleted", (Field("name"),), "warning"),
    Action(
        "cluster.token_rotated",
        "cluster",
        "Cluster token rotated",
        (Field("name"), _opt("previous_token_last_used_at", nullable=True)),
        "notice",
    ),
    Action(
        "cluster.action_denied",
        "cluster",
        "Privileged action denied",
        (
            Field("attempted_action"),
            Field("role", nullable=True),
            Field("required_role"),
            _opt("namespace"),
            _opt("pod"),
            _opt("container"),
            _opt("status", "integer", minimum=100),
            _opt("source"),
            # The hub's own refusals: a scope that the token lacks, and until when further ones
            # are answered 429 and not written one by one.
            _opt("required_scope"),
            _opt("limited_until"),
        ),
        "warning",
        _COLLECTOR_OR_HUB,
    ),
    Action(
        "cluster.agent.upgrade_requested",
        "cluster",
        "Agent upgrade requested",
        (Field("current_version", nullable=True), Field("requested_version")),
    ),
    Action(
        "pod.exec_started",
        "pod",
        "Pod terminal opened",
        (*_EXEC, _opt("observed", "boolean")),
        "notice",
        _COLLECTOR,
    ),
    Action(
        "pod.exec_ended",
        "pod",
        "Pod terminal closed",
        (
            *_EXEC,
            Field("duration_ms", "integer", minimum=0),
            Field("end_reason", choices=END_REASONS),
            Field("observed", "boolean"),
            _opt("started_at"),
            _opt("supersedes"),
        ),
        "info",
        _COLLECTOR,
    ),
    Action("org.created", "org", "Organization created", (Field("name"),)),
    Action("org.updated", "org", "Organization changed", (Field("changes", "changes"),)),
    Action("org.sso.portal_opened", "org", "SSO portal opened", (Field("intent"),), "notice"),
    Action(
        "org_invitation.created",
        "org_invitation",
        "Invitation sent",
        (_EMAIL, _ROLE, Field("expires_at"), _opt("resent", "boolean")),
    ),
    Action(
        "org_invitation.accepted",
        "org_invitation",
        "Invitation accepted",
        (_EMAIL, _ROLE, _opt("inviter_user_id"), _opt("inviter_email", personal=True)),
    ),
    Action(
        "org_invitation.revoked",
        "org_invitation",
        "Invitation revoked",
        (_EMAIL, _ROLE, _opt("inviter_user_id"), _opt("inviter_email", personal=True)),
    ),
    Action(
        "org_member.joined",
        "org_member",
        "Member joined",
        (
            Field("inviter_user_id", nullable=True),
            Field("inviter_email", nullable=True, personal=True),
            _ROLE,
            _opt("provisioned_by"),
        ),
    ),
    Action(
        "org_member.auto_joined",
        "org_member",
        "Member joined by domain",
        (_ROLE, Field("domain"), Field("provisioned_by", choices=("domain_auto_join",))),
    ),
    Action(
        "org_member.sso_joined",
        "org_member",
        "Member joined by SSO",
        (_ROLE, Field("connection_id"), _opt("idp")),
    ),
    Action(
        "org_member.removed",
        "org_member",
        "Member removed",
        (_EMAIL, _ROLE, _opt("revoked_pats", "integer", minimum=0)),
        "warning",
    ),
    Action(
        "pat.created",
        "pat",
        "Access token created",
        (Field("name"), _opt("expires_at", nullable=True), _opt("scopes", "string_list")),
        "notice",
    ),
    Action("pat.revoked", "pat", "Access token revoked", (Field("name"), _opt("reason"))),
    Action(
        "billing.checkout_started",
        "billing",
        "Checkout started",
        (Field("checkout_session_id"), Field("plan"), Field("quantity", "integer", minimum=0)),
    ),
    Action("billing.subscription_changed", "billing", "Subscription changed", _SUBSCRIPTION),
    Action(
        "auth.signin",
        "auth",
        "Signed in",
        (Field("method"), _opt("ip", personal=True), _opt("user_agent", personal=True)),
    ),
    Action(
        "auth.signout",
        "auth",
        "Signed out",
        (Field("method"), _opt("ip", personal=True), _opt("user_agent", personal=True)),
    ),
    # Extensions. A role change is a row on the member, as the public page words it;
    # the others are about the org's log itself, so their target is the org.
    Action(
        "org_member.role_changed",
        "org_member",
        "Member role changed",
        (Field("previous_role", choices=ROLES), _ROLE),
        "notice",
        extension=True,
    ),
    Action(
        "org.deleted", "org", "Organization deleted", (Field("name"),), "warning", extension=True
    ),
    Action(
        "audit.retention_pruned",
        "org",
        "Expired events deleted",
        (
            Field("policy"),
            Field("from_seq", "integer", minimum=0),
            Field("to_seq", "integer", minimum=0),
            Field("count", "integer", minimum=1),
            # Expired rows are no prefix of the log: the deleted seqs, as "first-last".
            Field("ranges", "string_list"),
            Field("root_before"),
        ),
        producers=_HUB_ONLY,
        extension=True,
    ),
    Action(
        "audit.policy_changed",
        "org",
        "Audit policy changed",
        (Field("kind"), Field("changes", "changes"), _opt("owner")),
        "notice",
        _HUB_ONLY,
        extension=True,
    ),
    Action(
        "audit.exported",
        "org",
        "Audit log exported",
        (Field("format"), Field("query"), _opt("rows", "integer", minimum=0)),
        "notice",
        _HUB_ONLY,
        extension=True,
    ),
    Action(
        "audit.viewed",
        "org",
        "Audit log read",
        (Field("hour"), Field("requests", "integer", minimum=1)),
        producers=_HUB_ONLY,
        extension=True,
    ),
)

ACTIONS: Mapping[str, Action] = MappingProxyType({row.name: row for row in _ROWS})
TARGET_TYPES: tuple[str, ...] = tuple(dict.fromkeys(row.target_type for row in _ROWS))


def actions_of_type(target_types: Iterable[str]) -> frozenset[str]:
    """Return the names of all actions whose target type is one of `target_types`."""
    wanted = frozenset(target_types)
    return frozenset(row.name for row in _ROWS if row.target_type in wanted)
