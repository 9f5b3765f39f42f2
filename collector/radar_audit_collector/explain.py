"""Says in words why an audit line is or is not recorded.

Owns the prose; the rules themselves are those of `classify`, asked one by one.
Called by `radar-audit-collector check`. Pure. Never shows argv, the query
string or any other part of the line that a record does not keep.
"""

from __future__ import annotations

from dataclasses import dataclass

from .capture.record import AuditRecord, Skipped, parse_line
from .classify import RULES, ClassifyRules, Reason, Verdict, classify
from .session_entries import session_id_of

WHY: dict[Reason, str] = {
    "not_exec": "it is no exec or attach request on a pod",
    "malformed": "it is no audit event in JSON as the API server writes it",
    "request_received": (
        "it is the stage RequestReceived, which comes before the answer is known; "
        "the later stages of the same request count"
    ),
    "path_mismatch": "the path in requestURI and objectRef name different things",
    "bad_name": "a name in it is longer or of another form than Kubernetes allows",
    "line_too_long": "the line is longer than the collector reads",
    "archive_unreadable": "the compressed log file is damaged",
    "file_truncated": "the log file was cut short and is read anew",
    "checkpoint_lost": "the file that was read last is gone",
    "attach_off": "it is an attach, and attach is not captured by these settings",
    "namespace_excluded": "the settings leave this namespace out",
    "not_radar": "the request was not made by Radar's ServiceAccount: direct use of kubectl, say",
    "not_impersonated": "the request acts for no user: Radar impersonates nobody in it",
    "system_user": "the user it acts for begins with system: and is no person",
    "foreign_group": "one of the user's groups begins with neither radar: nor cloud:",
    "no_role": "no group of the user is a role (owner, member, viewer) or an org",
    "org_mismatch": "the groups name another org than this collector's",
    "user_mismatch": "the groups name another user than the one it acts for",
    "service_actor": "the user is one of Radar's service identities, which are only counted",
    "no_status": "it carries no status",
    "status_4xx": "the request failed with a 4xx that is no refusal; no terminal was opened",
    "status_5xx": "the request failed with a 5xx; no terminal was opened",
    "status_other": "the status is neither 101 nor 403; no terminal was opened",
    "not_terminal": "tty and stdin are not both asked for: a command, not a terminal",
}
_OUTCOME = {
    "started": "the start of a terminal session (pod.exec_started)",
    "ended": "the end of a terminal session (pod.exec_ended)",
    "denied": (
        "a refused terminal (cluster.action_denied; a GET and the POST that retries it are one)"
    ),
}


@dataclass(frozen=True, slots=True)
class Check:
    """One rule as it stands for the line: what it asks for, whether it is met, and why not."""

    name: str
    asks: str
    passed: bool
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The whole answer: recorded or not, the rules in order, and a sentence about the line.

    `outcome` is what a recorded line is: started, ended or denied; null for the others.
    """

    recorded: bool
    outcome: str | None
    reason: Reason | None
    subject: str
    summary: str
    checks: tuple[Check, ...]

    def text(self) -> str:
        """Return the explanation as lines for a terminal."""
        if not self.subject:
            return self.summary
        lines = [self.subject]
        for check in self.checks:
            if check.reason is None:
                lines.append(f"  pass  {check.name}: {check.asks}")
            else:
                lines.append(f"  FAIL  {check.name}: {WHY[check.reason]}")
        lines.append(self.summary)
        return "\n".join(lines)


def explain(line: bytes, rules: ClassifyRules) -> Explanation:
    """Explain one line of an audit log under the rules. Never raises on any input."""
    item = parse_line(line)
    if isinstance(item, Skipped):
        check = Check(
            "line", "it is a later stage of an exec or attach request", False, item.reason
        )
        return Explanation(
            False, None, item.reason, "", f"Not recorded: {WHY[item.reason]}.", (check,)
        )
    checks = [Check("line", "it is a later stage of an exec or attach request", True)]
    for rule in RULES:
        reason = rule.check(item, rules)
        checks.append(Check(rule.name, rule.asks, reason is None, reason))
    verdict = classify(item, rules)
    return Explanation(
        recorded=verdict.reason is None,
        outcome=verdict.kind if verdict.reason is None else None,
        reason=verdict.reason,
        subject=_subject(item),
        summary=_summary(verdict),
        checks=tuple(checks),
    )


def printable(text: str) -> str:
    """Return a text from outside as a terminal may show it.

    A user's name, an org or a hub's sentence can be anything; what could move a terminal's
    cursor or turn the direction of writing is given as escapes.
    """
    return text if text.isprintable() else ascii(text)


def _subject(record: AuditRecord) -> str:
    who = printable(record.impersonated_user or "no user")
    container = f", container {record.container}" if record.container else ""
    session_id = session_id_of(record.audit_id)
    code = f" {record.code}" if record.code is not None else ""
    return (
        f"{record.stage}{code} of {record.subresource} ({record.upgrade}) in "
        f"{record.namespace}/{record.pod}{container} for {who}, session {session_id}"
    )


def _summary(verdict: Verdict) -> str:
    if verdict.reason is not None:
        return f"Not recorded: {WHY[verdict.reason]}."
    waits = ""
    if verdict.claimed_org is not None:
        waits = (
            f" It waits in the spool until the hub has said that this collector's org "
            f"is {printable(verdict.claimed_org)}."
        )
    return f"Recorded as {_OUTCOME[verdict.kind]}, unless the same fact is recorded already.{waits}"
