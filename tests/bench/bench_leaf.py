"""The cost of the canonical form: hashing a leaf, preparing a row, verifying a log.

Owns the benchmarks `leaf` and `verify`; both are pure CPU, measured as CPU seconds of this
process. Called by `tests.bench`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import msgspec
import rfc8785
from radar_audit_events.actions import ACTIONS
from radar_audit_events.chain import Frontier
from radar_audit_events.codec import (
    encode_plain,
    leaf_bytes,
    leaf_hash,
    personal_commitment,
    split_personal,
)
from radar_audit_events.event import Event
from radar_audit_events.ids import format_ms
from radar_audit_hub.ingest.prepare import prepare

from tests.bench.events import captured_events, salt
from tests.bench.harness import Benchmark, Figure, Goal, Run, cpu_of, interleave, ratios

_END_MS = 1_795_000_000_000
_PASSES = 5  # over the same events in one measurement


@dataclass(frozen=True, slots=True)
class _Entry:
    """An event with what its leaf is made of, computed before the clock runs."""

    event: Event
    source_key: bytes
    public: bytes
    commitment: bytes
    leaf: bytes


def _entries(count: int) -> list[_Entry]:
    return [_entry(event, key) for event, key in captured_events(count, _END_MS)]


def _entry(event: Event, key: bytes) -> _Entry:
    public, personal = split_personal(
        event.metadata, ACTIONS[event.action].personal_keys, event.actor_email
    )
    text, commitment = encode_plain(public), personal_commitment(salt(0), personal)
    return _Entry(event, key, text, commitment, _leaf(event, text, commitment))


def _leaf(event: Event, public: bytes, commitment: bytes) -> bytes:
    return leaf_bytes(
        org_id=event.org_id,
        id=event.id,
        action=event.action,
        target_type=event.target_type,
        target_id=event.target_id,
        actor_user_id=event.actor_user_id,
        created_at=format_ms(event.created_at_ms),
        public_metadata=public,
        commitment=commitment,
    )


def _hash_bare(entries: list[_Entry]) -> None:
    leaves = [entry.leaf for entry in entries]
    for _ in range(_PASSES):
        for leaf in leaves:
            hashlib.sha256(leaf).digest()


def _hash_canonical(entries: list[_Entry]) -> None:
    for _ in range(_PASSES):
        for entry in entries:
            event = entry.event
            # Spelled out, as `prepare` does it: one more call would be measured too.
            leaf_hash(
                leaf_bytes(
                    org_id=event.org_id,
                    id=event.id,
                    action=event.action,
                    target_type=event.target_type,
                    target_id=event.target_id,
                    actor_user_id=event.actor_user_id,
                    created_at=format_ms(event.created_at_ms),
                    public_metadata=entry.public,
                    commitment=entry.commitment,
                )
            )


def _encode_metadata(entries: list[_Entry]) -> None:
    for _ in range(_PASSES):
        for entry in entries:
            encode_plain(entry.event.metadata)


def _prepare(entries: list[_Entry]) -> None:
    seed = salt(0)
    for _ in range(_PASSES):
        for entry in entries:
            prepare(entry.event, seed, entry.source_key)


async def _run_leaf(run: Run) -> list[Figure]:
    entries = _entries(run.count(20_000))
    size = sum(len(entry.leaf) for entry in entries) / len(entries)
    values = await interleave(
        run.rounds,
        {
            "bare": cpu_of(lambda: _hash_bare(entries)),
            "leaf": cpu_of(lambda: _hash_canonical(entries)),
            "encode": cpu_of(lambda: _encode_metadata(entries)),
            "prepare": cpu_of(lambda: _prepare(entries)),
        },
    )
    both = [a + b for a, b in zip(values["leaf"], values["encode"], strict=True)]
    return [
        Figure(
            "leaf from canonical metadata, and its hash, against SHA-256 of the same bytes (time)",
            ratios(values["leaf"], values["bare"]),
            Goal(3, at_most=True),
            f"leaf of {size:.0f} bytes on average",
        ),
        Figure("the same with the encoding of the metadata (time)", ratios(both, values["bare"])),
        Figure(
            "all of `prepare` (validation, metadata, commitment, leaf) against the same (time)",
            ratios(values["prepare"], values["bare"]),
        ),
    ]


class _Line(msgspec.Struct):
    """A line of an export with the commitment that a proof adds to it."""

    id: str
    org_id: str
    action: str
    target_type: str
    target_id: str
    created_at: str
    metadata: dict[str, Any]
    pii_commitment: str
    actor_user_id: str | None = None


def _line(entry: _Entry) -> bytes:
    return msgspec.json.encode(entry.event.public() | {"pii_commitment": entry.commitment.hex()})


def _verify(lines: list[bytes]) -> bytes:
    decode = msgspec.json.Decoder(_Line).decode
    leaves = []
    for line in lines:
        event = decode(line)
        public, _ = split_personal(event.metadata, ACTIONS[event.action].personal_keys, None)
        leaves.append(
            leaf_hash(
                leaf_bytes(
                    org_id=event.org_id,
                    id=event.id,
                    action=event.action,
                    target_type=event.target_type,
                    target_id=event.target_id,
                    actor_user_id=event.actor_user_id,
                    created_at=event.created_at,
                    public_metadata=encode_plain(public),
                    commitment=bytes.fromhex(event.pii_commitment),
                )
            )
        )
    frontier = Frontier()
    frontier.extend(leaves)
    return frontier.root()


def _verify_with_rfc8785(lines: list[bytes]) -> bytes:
    decode = msgspec.json.Decoder(_Line).decode
    leaves = []
    for line in lines:
        event = decode(line)
        public, _ = split_personal(event.metadata, ACTIONS[event.action].personal_keys, None)
        leaf = {
            "action": event.action,
            "actor_user_id": event.actor_user_id,
            "created_at": event.created_at,
            "id": event.id,
            "metadata": public,
            "org_id": event.org_id,
            "pii_commitment": event.pii_commitment,
            "target_id": event.target_id,
            "target_type": event.target_type,
            "v": 1,
        }
        leaves.append(leaf_hash(rfc8785.dumps(leaf)))
    frontier = Frontier()
    frontier.extend(leaves)
    return frontier.root()


async def _run_verify(run: Run) -> list[Figure]:
    entries = _entries(run.count(20_000))
    lines = [_line(entry) for entry in entries]
    buffer = b"".join(entry.leaf for entry in entries)
    if _verify(lines) != _verify_with_rfc8785(lines):
        raise RuntimeError("the two canonical forms give different roots")
    values = await interleave(
        run.rounds,
        {
            "buffer": cpu_of(lambda: [hashlib.sha256(buffer).digest() for _ in range(_PASSES)]),
            "verify": cpu_of(lambda: [_verify(lines) for _ in range(_PASSES)]),
            "rfc8785": cpu_of(lambda: _verify_with_rfc8785(lines)),
        },
    )
    oracle = [value * _PASSES for value in values["rfc8785"]]
    return [
        Figure(
            "verifying a log from its lines against SHA-256 over all its leaves at once (rate)",
            ratios(values["buffer"], values["verify"]),
            Goal(0.08),
            "decode, canonical form, leaf hashes, root",
        ),
        Figure(
            "the same against a verifier that uses rfc8785 (rate)",
            ratios(oracle, values["verify"]),
            Goal(6),
        ),
    ]


LEAF = Benchmark(
    "leaf",
    "Leaf hashing",
    "What the canonical form adds to the hash itself, per event, in CPU time.",
    _run_leaf,
)
VERIFY = Benchmark(
    "verify",
    "Verification",
    "Re-canonicalising every line of an export and building the tree's root, in CPU time.",
    _run_verify,
)
