"""Merkle tree arithmetic of an org's log (RFC 9162 section 2.1).

Owns the tree's hashes, the frontier a writer keeps between appends, inclusion and
consistency proofs, and the arithmetic of full tiles of 256. Called by the hub when it
appends and proves, and by the CLI when it verifies offline. Leaf hashes are given (the
codec makes them); never hashes an event, never reads a store.

Every hash here is 32 bytes, every size counts leaves, every range is half-open.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

from .errors import ProofError

HASH_BYTES = 32
TILE_WIDTH = 256
MAX_SIZE = 2**63 - 1  # a seq must fit the store's signed 64-bit column
_SIZE_BYTES = 8
_TILE_BITS = TILE_WIDTH.bit_length() - 1
_NODE = b"\x01"  # sets inner nodes apart from leaves (0x00): no second preimage

Range = tuple[int, int]


def empty_root() -> bytes:
    """Return the root of a tree without leaves: SHA-256 of nothing."""
    return sha256(b"").digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node from its children's: SHA-256(0x01 || left || right)."""
    return sha256(_NODE + left + right).digest()


class Frontier:
    """The compact range [0, size): all a writer needs to append and to tell the root.

    Holds one hash for each full subtree, the largest (leftmost) first: as many as `size` has
    one-bits. Mutable; `copy()` before an append that may be undone.
    """

    __slots__ = ("_hashes", "_size")

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        """Take over `size` leaves whose full subtrees hash to `hashes`. Raises ProofError."""
        if not 0 <= size <= MAX_SIZE:
            raise ProofError(f"a frontier's size lies between 0 and {MAX_SIZE}, not {size}")
        if len(hashes) != size.bit_count():
            raise ProofError(
                f"a frontier of size {size} has {size.bit_count()} hashes, not {len(hashes)}"
            )
        _require_hashes(hashes)
        self._size = size
        self._hashes = list(hashes)

    @property
    def size(self) -> int:
        """How many leaves it covers: also the seq of the next leaf."""
        return self._size

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """The hashes of the full subtrees, the largest first."""
        return tuple(self._hashes)

    def copy(self) -> Frontier:
        """Return an independent frontier with the same state."""
        return Frontier(self._size, self._hashes)

    def append(self, leaf_hash: bytes) -> None:
        """Add one leaf. Raises ProofError for a hash that is not 32 bytes or a full tree."""
        self.extend((leaf_hash,))

    def extend(self, leaf_hashes: Sequence[bytes]) -> None:
        """Add leaves in order; all or none. Raises ProofError as `append` does.

        Works level by level, as binary addition with carry, because one list
        comprehension per level costs little more than the hashing alone.
        """
        _require_hashes(leaf_hashes)
        if self._size + len(leaf_hashes) > MAX_SIZE:
            raise ProofError(f"a tree has at most {MAX_SIZE} leaves")
        nodes = list(leaf_hashes)
        kept: list[bytes] = []  # smallest subtree first
        before = self._hashes.copy()
        pending = self._size
        while nodes:
            if pending & 1:
                nodes.insert(0, before.pop())
            if len(nodes) & 1:
                kept.append(nodes.pop())
            pairs = iter(nodes)
            nodes = [
                sha256(_NODE + left + right).digest()
                for left, right in zip(pairs, pairs, strict=True)
            ]
            pending >>= 1
        self._hashes = before + kept[::-1]
        self._size += len(leaf_hashes)

    def root(self) -> bytes:
        """Return the root hash of the tree of `size` leaves."""
        return _fold_right(self._hashes)

    def to_bytes(self) -> bytes:
        """Return the stored form: the size as 8 bytes big-endian, then the hashes."""
        return self._size.to_bytes(_SIZE_BYTES, "big") + b"".join(self._hashes)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Frontier:
        """Read the form that `to_bytes` writes. Raises ProofError for anything else."""
        if len(raw) < _SIZE_BYTES:
            raise ProofError(f"a stored frontier has at least {_SIZE_BYTES} bytes, not {len(raw)}")
        size = int.from_bytes(raw[:_SIZE_BYTES], "big")
        return cls(size, split_hashes(raw[_SIZE_BYTES:]))

    def __eq__(self, other: object) -> bool:
        """Two frontiers are equal when they cover the same leaves."""
        if not isinstance(other, Frontier):
            return NotImplemented
        return self._size == other._size and self._hashes == other._hashes

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        """Show size and root."""
        return f"Frontier(size={self._size}, root={self.root().hex()})"


def root_of(leaf_hashes: Sequence[bytes]) -> bytes:
    """Return the root of a tree of these leaves (MTH of RFC 9162). Raises ProofError."""
    frontier = Frontier()
    frontier.extend(leaf_hashes)
    return frontier.root()


def split_hashes(raw: bytes) -> list[bytes]:
    """Cut hashes that are stored end to end. Raises ProofError for a part of one."""
    if len(raw) % HASH_BYTES:
        raise ProofError(f"stored hashes are a multiple of {HASH_BYTES} bytes, not {len(raw)}")
    return [raw[at : at + HASH_BYTES] for at in range(0, len(raw), HASH_BYTES)]


def tile_of(seq: int) -> tuple[int, int]:
    """Return (tile, offset) of a leaf: its level-0 tile of 256 and its place therein, 0-255."""
    return divmod(seq, TILE_WIDTH)


def full_tiles(size: int, level: int = 0) -> int:
    """Return how many tiles of `level` are full in a tree of `size` leaves.

    A tile of level L holds 256 hashes, each the root of 256**L leaves (tlog-tiles).
    """
    return size >> (_TILE_BITS * (level + 1))


def tile_span(level: int, tile: int) -> Range:
    """Return the range of seqs that a full tile stands for."""
    bits = _TILE_BITS * (level + 1)
    return tile << bits, (tile + 1) << bits


def tile_root(hashes: Sequence[bytes]) -> bytes:
    """Return the root of one full tile: one hash of the next level. Raises ProofError."""
    if len(hashes) != TILE_WIDTH:
        raise ProofError(f"a full tile has {TILE_WIDTH} hashes, not {len(hashes)}")
    return root_of(hashes)


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """Return the leaf ranges whose roots are the inclusion proof of leaf `index`, in order.

    For callers that take roots from tiles instead of all leaves. Raises ProofError unless
    0 <= index < size.
    """
    if not 0 <= index < size:
        raise ProofError(f"a tree of {size} leaves has no leaf {index}")
    ranges: list[Range] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return ranges[::-1]


def consistency_ranges(old_size: int, new_size: int) -> list[Range]:
    """Return the leaf ranges whose roots prove that the new tree extends the old, in order.

    Empty when `old_size` is 0 or `new_size`: there the roots say everything. Raises
    ProofError unless 0 <= old_size <= new_size.
    """
    if not 0 <= old_size <= new_size:
        raise ProofError(f"a tree of {new_size} leaves does not extend one of {old_size}")
    if old_size in (0, new_size):
        return []
    ranges: list[Range] = []
    start, end = 0, new_size
    while old_size != end:
        middle = start + _split(end - start)
        if old_size <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    if start:  # else the subtree is the old tree itself, whose root the verifier holds
        ranges.append((start, end))
    return ranges[::-1]


def inclusion_proof(leaf_hashes: Sequence[bytes], index: int) -> list[bytes]:
    """Return the proof that leaf `index` is in the tree of these leaves (RFC 9162 2.1.3.1).

    Raises ProofError when there is no such leaf.
    """
    return _roots(leaf_hashes, inclusion_ranges(index, len(leaf_hashes)))


def consistency_proof(leaf_hashes: Sequence[bytes], old_size: int) -> list[bytes]:
    """Return the proof that this tree extends its first `old_size` leaves (RFC 9162 2.1.4.1).

    Raises ProofError unless 0 <= old_size <= the number of leaves.
    """
    return _roots(leaf_hashes, consistency_ranges(old_size, len(leaf_hashes)))


def verify_inclusion(
    leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Check an inclusion proof (RFC 9162 2.1.3.2). Returns when it holds, else raises ProofError.

    The proof's hashes are judged, not trusted; `root` must come from a checkpoint.
    """
    _require_hashes((leaf_hash, root, *proof))
    if not 0 <= index < size:
        raise ProofError(f"a tree of {size} leaves has no leaf {index}")
    node, last = index, size - 1
    computed = leaf_hash
    for sibling in proof:
        if last == 0:
            raise ProofError("the inclusion proof has too many hashes")
        if node & 1 or node == last:
            computed = node_hash(sibling, computed)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise ProofError("the inclusion proof has too few hashes")
    if computed != root:
        raise ProofError(f"leaf {index} is not in the tree of size {size} with this root")


def verify_consistency(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check a consistency proof (RFC 9162 2.1.4.2). Returns when it holds, else raises ProofError.

    Sizes that need no proof (0, or both equal) must come with an empty one.
    """
    _require_hashes((old_root, new_root, *proof))
    if not 0 <= old_size <= new_size:
        raise ProofError(f"a tree of {new_size} leaves does not extend one of {old_size}")
    if old_size in (0, new_size):
        known_root = new_root if old_size == new_size else empty_root()
        if proof:
            raise ProofError("the consistency proof must be empty for these sizes")
        if old_root != known_root or (new_size == 0 and new_root != empty_root()):
            raise ProofError(f"the root does not belong to a tree of size {old_size}")
        return
    _walk_consistency(old_size, old_root, new_size, new_root, proof)


def _walk_consistency(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Rebuild both roots from the proof, for 0 < old_size < new_size."""
    path = list(proof)
    if old_size & (old_size - 1) == 0:  # a full tree: its root is the proof's first node
        path.insert(0, old_root)
    if not path:
        raise ProofError("the consistency proof has too few hashes")
    node, last = old_size - 1, new_size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise ProofError("the consistency proof has too many hashes")
        if node & 1 or node == last:
            old = node_hash(sibling, old)
            new = node_hash(sibling, new)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise ProofError("the consistency proof has too few hashes")
    if old != old_root:
        raise ProofError(f"the proof does not lead to the old root of size {old_size}")
    if new != new_root:
        raise ProofError(f"the proof does not lead to the new root of size {new_size}")


def _split(leaves: int) -> int:
    """Return the largest power of two below `leaves`, which is at least 2."""
    return 1 << ((leaves - 1).bit_length() - 1)


def _roots(leaf_hashes: Sequence[bytes], ranges: Iterable[Range]) -> list[bytes]:
    return [root_of(leaf_hashes[start:end]) for start, end in ranges]


def _fold_right(hashes: Sequence[bytes]) -> bytes:
    """Join full subtrees, the largest first, into one root."""
    if not hashes:
        return empty_root()
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root


def _require_hashes(hashes: Sequence[bytes]) -> None:
    """Refuse anything that is not 32 bytes: other lengths would let nodes be forged."""
    if any(map(HASH_BYTES.__ne__, map(len, hashes))):
        raise ProofError(f"a hash has {HASH_BYTES} bytes")
