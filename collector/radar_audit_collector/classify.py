"""Which audit records are terminals of a person through Radar, and why the others are not.

Owns the rules and their order; each rule has a name, and each reason to leave a
record out is a word that can be a metric label. Called by the intake for every
record and by `explain` for one. Pure: no clock, no I/O, no state between calls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, NamedTuple

import msgspec

from radar_audit_collector.capture.record import AuditRecord, Skipped, SkipReason

Identity = Literal["cloud", "impersonated", "any"]
Role = Literal["owner", "member", "viewer"]
VerdictKind = Literal["started", "ended", "denied", "ignored"]
RuleReason = Literal[
    "attach_off",
    "namespace_excluded",
    "not_radar",
    "not_impersonated",
    "system_user",
    "foreign_group",
    "no_role",
    "org_mismatch",
    "user_mismatch",
    "service_actor",
    "no_status",
    "status_4xx",
    "status_5xx",
    "status_other",
    "not_terminal",
]
Reason = SkipReason | RuleReason

REQUIRED_ROLE: Role = "member"  # contract: owners and members may open a terminal
_ROLES: tuple[Role, ...] = ("owner", "member", "viewer")  # the first that is there is the highest
_ROLE_OF: dict[str, Role] = {
    f"{prefix}:{role}": role for prefix in ("radar", "cloud") for role in _ROLES
}
_OWN_PREFIXES = ("radar:", "cloud:")
_EVERYBODY = "system:authenticated"  # the API server adds it to every impersonated user
_ORG_PREFIX = "cloud:org:"
_USER_PREFIX = "cloud:user:"
_SERVICE_PREFIXES = ("radar:ai:", "radar:system")


@dataclass(frozen=True, slots=True)
class ClassifyRules:
    """What counts as a terminal through Radar; from the settings.

    `radar_service_account` is `namespace/name`. `org_id` is null until it is
    known. `attach` counts attach as exec, `service_actors` records identities
    that are no people. Namespaces are names or prefixes that end in `*`; an
    empty include means all, an exclude wins. Raises ValueError if
    `radar_service_account` has another form.
    """

    radar_service_account: str
    org_id: str | None = None
    identity: Identity = "cloud"
    attach: bool = False
    service_actors: bool = False
    include_namespaces: tuple[str, ...] = ()
    exclude_namespaces: tuple[str, ...] = ()
    principal: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        namespace, slash, name = self.radar_service_account.partition("/")
        if not (namespace and slash and name) or "/" in name:
            raise ValueError(
                "Radar's ServiceAccount is written namespace/name, for example radar/radar"
            )
        object.__setattr__(self, "principal", f"system:serviceaccount:{namespace}:{name}")


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What a record means: a start, an end or a denial of a session, or nothing (with its reason).

    `record` is null only where kind is ignored. `claimed_org` is the org that
    the groups name while the collector does not know its own: the event waits
    until it does. `role` is what the groups say, null where they say nothing.
    """

    kind: VerdictKind
    reason: Reason | None = None
    record: AuditRecord | None = None
    role: Role | None = None
    claimed_org: str | None = None


class GroupFacts(NamedTuple):
    """What a user's groups say: the role, whether one is not Radar's, the orgs and users named."""

    role: Role | None
    foreign: bool
    orgs: frozenset[str]
    users: frozenset[str]


class Rule(NamedTuple):
    """One rule: its name, what it asks for (for people), and the check itself.

    The check returns null where the record passes, else the reason why not; it
    makes sense on its own, so that every rule can be shown for one record.
    """

    name: str
    asks: str
    check: Callable[[AuditRecord, ClassifyRules], RuleReason | None]


def _radar(record: AuditRecord, rules: ClassifyRules) -> RuleReason | None:
    return None if record.user == rules.principal else "not_radar"


def _subresource(record: AuditRecord, rules: ClassifyRules) -> RuleReason | None:
    return None if rules.attach or record.subresource == "exec" else "attach_off"


def _namespace(record: AuditRecord, rules: ClassifyRules) -> RuleReason | None:
    if rules.include_namespaces and not _named(record.namespace, rules.include_namespaces):
        return "namespace_excluded"
    if rules.exclude_namespaces and _named(record.namespace, rules.exclude_namespaces):
        return "namespace_excluded"
    return None


def _person(record: AuditRecord, rules: ClassifyRules) -> RuleReason | None:
    user = record.impersonated_user
    if not user:
        return None if rules.identity == "any" else "not_impersonated"
    return "system_user" if user.startswith("system:") else None


def _groups(record: AuditRecord, rules: ClassifyRules) -> RuleReason | None:
    if rules.identity != "cloud":
        return None
    facts = read_groups(record.impersonated_groups)
    if facts.foreign:
        return "foreign_group"
    return None if facts.role or facts.orgs else "no_role"


def _claims(record: AuditRecord, rules: ClassifyRules) -> RuleReason | None:
    if rules.identity != "cloud":
        return None
    facts = read_groups(record.impersonated_groups)
    # While the own org is unknown, one claim may be right, two different ones cannot both be.
    own = rules.org_id
    if facts.orgs and (
        len(facts.orgs) > 1 or "" in facts.orgs or (own is not None and own not in facts.orgs)
    ):
        return "org_mismatch"
    if facts.users and facts.users != {record.impersonated_user}:
        return "user_mismatch"
    return None


def _service(record: AuditRecord, rules: ClassifyRules) -> RuleReason | None:
    if rules.service_actors or record.impersonated_user is None:
        return None
    return "service_actor" if record.impersonated_user.startswith(_SERVICE_PREFIXES) else None


def _status(record: AuditRecord, _rules: ClassifyRules) -> RuleReason | None:
    code = record.code
    if code in (101, 403) or record.stage == "Panic":
        return None
    if not code:
        return "no_status"
    return "status_4xx" if 400 <= code < 500 else "status_5xx" if code >= 500 else "status_other"


def _terminal(record: AuditRecord, _rules: ClassifyRules) -> RuleReason | None:
    if record.code == 403 or (record.tty and record.stdin):
        return None
    return "not_terminal"


RULES: tuple[Rule, ...] = (
    Rule("principal", "the request came from Radar's ServiceAccount", _radar),
    Rule("subresource", "it is an exec, or an attach where attach is switched on", _subresource),
    Rule("namespace", "the pod's namespace is captured", _namespace),
    Rule("person", "it acts for a user whose name does not begin with system:", _person),
    Rule("groups", "every group is Radar's and one of them is a role or an org", _groups),
    Rule("claims", "the org and the user that the groups name are the right ones", _claims),
    Rule("service", "the user is a person, not one of Radar's service identities", _service),
    Rule("status", "the API server answered 101 (opened) or 403 (refused)", _status),
    Rule("terminal", "it is a terminal (tty and stdin), or was refused", _terminal),
)
_CHECKS = tuple(rule.check for rule in RULES)


def classify(item: AuditRecord | Skipped, rules: ClassifyRules) -> Verdict:
    """Say what a record means under the rules; the first rule that fails names the reason."""
    if type(item) is Skipped:
        return Verdict("ignored", item.reason)
    assert isinstance(item, AuditRecord)
    for check in _CHECKS:
        reason = check(item, rules)
        if reason is not None:
            return Verdict("ignored", reason)
    facts = read_groups(item.impersonated_groups)
    claimed = None
    if facts.orgs and rules.org_id is None and rules.identity == "cloud":
        (claimed,) = facts.orgs  # two would have failed the rule `claims`
    return Verdict(_kind(item), None, item, facts.role, claimed)


@lru_cache(maxsize=1024)  # few people, many lines
def read_groups(groups: tuple[str, ...]) -> GroupFacts:
    """Read what a user's groups say; the highest of several roles counts."""
    held = {_ROLE_OF.get(group) for group in groups}
    return GroupFacts(
        role=next((role for role in _ROLES if role in held), None),
        foreign=any(not g.startswith(_OWN_PREFIXES) for g in groups if g != _EVERYBODY),
        orgs=frozenset(g[len(_ORG_PREFIX) :] for g in groups if g.startswith(_ORG_PREFIX)),
        users=frozenset(g[len(_USER_PREFIX) :] for g in groups if g.startswith(_USER_PREFIX)),
    )


def _kind(record: AuditRecord) -> VerdictKind:
    # By the code, never by the decision annotation: 1.36 writes `allow` beside a 403.
    if record.code == 403:
        return "denied"
    return "started" if record.stage == "ResponseStarted" else "ended"


def _named(namespace: str, patterns: tuple[str, ...]) -> bool:
    return any(
        namespace.startswith(pattern[:-1]) if pattern.endswith("*") else namespace == pattern
        for pattern in patterns
    )
