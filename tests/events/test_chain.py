"""Merkle arithmetic against published vectors, the RFC's recursive definitions, and forgeries."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from radar_audit_events import chain
from radar_audit_events.chain import Frontier
from radar_audit_events.errors import ProofError

MAX_LEAVES = 70

# The eight-leaf tree that Certificate Transparency's implementations test against.
CT_INPUTS = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
CT_LEAVES = [sha256(b"\x00" + data).digest() for data in CT_INPUTS]
CT_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
CT_INCLUSION = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
CT_CONSISTENCY = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}


def _leaf(number: int) -> bytes:
    return sha256(b"\x00%d" % number).digest()


LEAVES = [_leaf(number) for number in range(MAX_LEAVES)]


def _reference_root(leaves: Sequence[bytes]) -> bytes:
    """MTH, as RFC 9162 2.1.1 defines it."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    cut = 1
    while cut * 2 < len(leaves):
        cut *= 2
    left, right = _reference_root(leaves[:cut]), _reference_root(leaves[cut:])
    return sha256(b"\x01" + left + right).digest()


ROOTS = [_reference_root(LEAVES[:size]) for size in range(MAX_LEAVES + 1)]


def _hex(hashes: Sequence[bytes]) -> list[str]:
    return [item.hex() for item in hashes]


def _flip(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)


def test_roots_match_the_published_tree() -> None:
    assert [chain.root_of(CT_LEAVES[:size]).hex() for size in range(9)] == CT_ROOTS
    assert chain.empty_root().hex() == CT_ROOTS[0]


@pytest.mark.parametrize("index,size", CT_INCLUSION)
def test_inclusion_proof_matches_the_published_one(index: int, size: int) -> None:
    proof = chain.inclusion_proof(CT_LEAVES[:size], index)
    assert _hex(proof) == CT_INCLUSION[index, size]
    chain.verify_inclusion(CT_LEAVES[index], index, size, proof, bytes.fromhex(CT_ROOTS[size]))


@pytest.mark.parametrize("old,new", CT_CONSISTENCY)
def test_consistency_proof_matches_the_published_one(old: int, new: int) -> None:
    proof = chain.consistency_proof(CT_LEAVES[:new], old)
    assert _hex(proof) == CT_CONSISTENCY[old, new]
    old_root, new_root = bytes.fromhex(CT_ROOTS[old]), bytes.fromhex(CT_ROOTS[new])
    chain.verify_consistency(old, old_root, new, new_root, proof)


def test_root_follows_the_rfc_definition_at_every_size() -> None:
    frontier = Frontier()
    for size, leaf in enumerate(LEAVES):
        assert frontier.root() == ROOTS[size]
        assert chain.root_of(LEAVES[:size]) == ROOTS[size]
        frontier.append(leaf)
    assert frontier.size == MAX_LEAVES


@given(st.lists(st.integers(0, 300), max_size=6))
def test_extend_in_any_batches_equals_append_one_by_one(batches: list[int]) -> None:
    leaves = [_leaf(number) for number in range(sum(batches))]
    batched, single, at = Frontier(), Frontier(), 0
    for count in batches:
        batched.extend(leaves[at : at + count])
        at += count
        assert Frontier.from_bytes(batched.to_bytes()) == batched
    for leaf in leaves:
        single.append(leaf)
    assert batched == single
    assert batched.root() == _reference_root(leaves)


def test_every_inclusion_proof_verifies_and_only_for_its_index_and_leaf() -> None:
    for size in range(1, MAX_LEAVES + 1):
        root = ROOTS[size]
        for index in range(size):
            proof = chain.inclusion_proof(LEAVES[:size], index)
            chain.verify_inclusion(LEAVES[index], index, size, proof, root)
            other = (index + 1) % size
            if other != index:
                with pytest.raises(ProofError):
                    chain.verify_inclusion(LEAVES[index], other, size, proof, root)
                with pytest.raises(ProofError, match="is not in the tree"):
                    chain.verify_inclusion(LEAVES[other], index, size, proof, root)


def test_every_consistency_proof_verifies_and_only_for_its_old_root() -> None:
    for new in range(MAX_LEAVES + 1):
        for old in range(new + 1):
            proof = chain.consistency_proof(LEAVES[:new], old)
            chain.verify_consistency(old, ROOTS[old], new, ROOTS[new], proof)
            with pytest.raises(ProofError):
                chain.verify_consistency(old, _flip(ROOTS[old], 3), new, ROOTS[new], proof)


@given(st.data())
def test_tampered_inclusion_proof_is_refused(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, MAX_LEAVES))
    index = data.draw(st.integers(0, size - 1))
    proof = chain.inclusion_proof(LEAVES[:size], index)
    place = data.draw(st.integers(0, len(proof) - 1))
    flipped = list(proof)
    flipped[place] = _flip(proof[place], data.draw(st.integers(0, 255)))
    extended, short = [*proof, proof[place]], proof[:place] + proof[place + 1 :]
    for forged, reason in (
        (flipped, "is not in the tree"),
        (proof[:place], "too few"),
        (short, "too few"),
        (extended, "too many"),
    ):
        with pytest.raises(ProofError, match=reason):
            chain.verify_inclusion(LEAVES[index], index, size, forged, ROOTS[size])
    wrong_size = data.draw(st.integers(0, MAX_LEAVES).filter(lambda other: other != size))
    with pytest.raises(ProofError):
        chain.verify_inclusion(LEAVES[index], index, wrong_size, proof, ROOTS[wrong_size])


@given(st.data())
def test_tampered_consistency_proof_is_refused(data: st.DataObject) -> None:
    new = data.draw(st.integers(2, MAX_LEAVES))
    old = data.draw(st.integers(1, new - 1))
    proof = chain.consistency_proof(LEAVES[:new], old)
    place = data.draw(st.integers(0, len(proof) - 1))
    flipped = list(proof)
    flipped[place] = _flip(proof[place], data.draw(st.integers(0, 255)))
    extended, short = [*proof, proof[place]], proof[:place] + proof[place + 1 :]
    for forged, reason in (
        (flipped, "does not lead to the"),
        (proof[:place], "too few"),
        (short, "too few"),
        (extended, "too many"),
    ):
        with pytest.raises(ProofError, match=reason):
            chain.verify_consistency(old, ROOTS[old], new, ROOTS[new], forged)
    for roots in ((_flip(ROOTS[old], 0), ROOTS[new]), (ROOTS[old], _flip(ROOTS[new], 255))):
        with pytest.raises(ProofError, match="does not lead to the"):
            chain.verify_consistency(old, roots[0], new, roots[1], proof)


def test_rewritten_history_has_no_consistency_proof() -> None:
    rewritten = [_flip(LEAVES[0], 0), *LEAVES[1:12]]
    proof = chain.consistency_proof(rewritten, 7)
    with pytest.raises(ProofError, match="old root of size 7"):
        chain.verify_consistency(7, ROOTS[7], 12, chain.root_of(rewritten), proof)


def test_sizes_without_a_proof_are_judged_by_their_roots() -> None:
    empty = chain.empty_root()
    chain.verify_consistency(0, empty, 0, empty, [])
    chain.verify_consistency(0, empty, 5, ROOTS[5], [])
    for old, old_root, new, new_root, proof in (
        (0, ROOTS[1], 5, ROOTS[5], []),
        (0, empty, 5, ROOTS[5], [ROOTS[1]]),
        (0, ROOTS[1], 0, ROOTS[1], []),
        (5, ROOTS[4], 5, ROOTS[5], []),
        (5, ROOTS[5], 5, ROOTS[5], [ROOTS[1]]),
        (6, ROOTS[6], 5, ROOTS[5], []),
        (-1, ROOTS[6], 5, ROOTS[5], []),
    ):
        with pytest.raises(ProofError):
            chain.verify_consistency(old, old_root, new, new_root, proof)


def test_node_cannot_pass_as_a_hash_of_another_length() -> None:
    proof = chain.inclusion_proof(LEAVES[:4], 0)
    inner = LEAVES[0] + LEAVES[1]
    with pytest.raises(ProofError, match="32 bytes"):
        chain.verify_inclusion(inner, 0, 4, proof, ROOTS[4])
    with pytest.raises(ProofError, match="32 bytes"):
        Frontier().extend([LEAVES[0], inner])


def test_failed_extend_changes_nothing() -> None:
    frontier = Frontier()
    frontier.extend(LEAVES[:5])
    with pytest.raises(ProofError):
        frontier.extend([LEAVES[5], b"short"])
    assert (frontier.size, frontier.root()) == (5, ROOTS[5])


def test_tree_larger_than_a_stored_seq_is_refused() -> None:
    full = Frontier(chain.MAX_SIZE, [LEAVES[0]] * 63)
    with pytest.raises(ProofError, match="at most"):
        full.append(LEAVES[0])
    with pytest.raises(ProofError, match="lies between"):
        Frontier.from_bytes(b"\xff" * 8 + LEAVES[0] * 64)


def test_copy_is_independent_of_its_original() -> None:
    frontier = Frontier()
    frontier.extend(LEAVES[:3])
    other = frontier.copy()
    other.append(LEAVES[3])
    assert frontier.root() == ROOTS[3]
    assert other.root() == ROOTS[4]
    assert frontier != other
    assert frontier != "frontier"
    assert len(other.hashes) == 1


@given(st.integers(0, MAX_LEAVES), st.data())
def test_damaged_stored_frontier_is_refused(size: int, data: st.DataObject) -> None:
    frontier = Frontier()
    frontier.extend(LEAVES[:size])
    raw = frontier.to_bytes()
    assert len(raw) == 8 + 32 * size.bit_count()
    with pytest.raises(ProofError):
        Frontier.from_bytes(raw + data.draw(st.binary(min_size=1, max_size=64)))
    with pytest.raises(ProofError):
        Frontier.from_bytes(raw[: data.draw(st.integers(0, len(raw) - 1))])


@given(st.binary(max_size=200))
def test_stored_frontier_is_read_or_refused_never_else(raw: bytes) -> None:
    try:
        frontier = Frontier.from_bytes(raw)
    except ProofError:
        return
    assert frontier.to_bytes() == raw


@pytest.mark.parametrize("index,size", [(0, 0), (3, 3), (-1, 3)])
def test_proof_of_a_leaf_outside_the_tree_is_refused(index: int, size: int) -> None:
    with pytest.raises(ProofError, match="has no leaf"):
        chain.inclusion_proof(LEAVES[:size], index)
    with pytest.raises(ProofError, match="has no leaf"):
        chain.verify_inclusion(LEAVES[0], index, size, [], ROOTS[size])
    with pytest.raises(ProofError, match="does not extend"):
        chain.consistency_proof(LEAVES[:size], size + 1)


def test_tiles_replace_the_leaves_they_stand_for() -> None:
    size = 3 * chain.TILE_WIDTH + 5
    leaves = [_leaf(number) for number in range(size)]
    tiles = [
        chain.tile_root(leaves[slice(*chain.tile_span(0, tile))])
        for tile in range(chain.full_tiles(size))
    ]
    assert len(tiles) == 3
    assert chain.node_hash(chain.node_hash(tiles[0], tiles[1]), tiles[2]) == chain.root_of(
        leaves[: 3 * chain.TILE_WIDTH]
    )
    assert chain.tile_of(0) == (0, 0)
    assert chain.tile_of(255) == (0, 255)
    assert chain.tile_of(256) == (1, 0)
    assert chain.tile_of(size - 1) == (3, 4)


def test_tiles_of_higher_levels_are_counted_and_spanned() -> None:
    assert chain.full_tiles(255) == 0
    assert chain.full_tiles(65_536) == 256
    assert chain.full_tiles(65_535, level=1) == 0
    assert chain.full_tiles(65_536, level=1) == 1
    assert chain.tile_span(1, 2) == (131_072, 196_608)


def test_partial_tile_has_no_tile_root() -> None:
    with pytest.raises(ProofError, match="256 hashes, not 70"):
        chain.tile_root(LEAVES)


def test_part_of_a_stored_hash_is_refused() -> None:
    assert chain.split_hashes(b"".join(LEAVES)) == LEAVES
    with pytest.raises(ProofError, match="multiple of 32"):
        chain.split_hashes(LEAVES[0] + b"x")


def test_repr_tells_size_and_root() -> None:
    assert repr(Frontier()) == f"Frontier(size=0, root={CT_ROOTS[0]})"
