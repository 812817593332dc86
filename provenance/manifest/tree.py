"""The provenance tree: what a file was made from, what that was made from, and how each of them stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from provenance.manifest import jumbf
from provenance.trust.chain_validation import trusted_anchor

_MAX_NODES = 500


class Standing(StrEnum):
    """What is known of one ingredient."""

    TRUSTED = "trusted"  #: its manifest verifies, and its signer is trusted
    VALID = "valid"  #: its manifest verifies; the signer is not known
    FAILED = "failed"  #: its manifest does not verify
    NAMED = "named"  #: only named, by its manifest and its hash; nothing of it is inside
    NONE = "none"  #: it had no manifest


@dataclass(frozen=True)
class Node:
    """One line of the tree.

    Attributes:
        depth: 0 for what the file itself was made from.
        last: for each level down to this one, whether it is the last of its siblings.
        ingredient: as the report describes it.
    """

    depth: int
    last: tuple[bool, ...]
    ingredient: Mapping[str, Any]


def add_standing(
    ingredients: Sequence[dict[str, Any]], store: bytes, failing: Sequence[str], anchors_pem: Sequence[str]
) -> None:
    """Enter ``standing`` and ``signer_trusted`` into each ingredient, in place, however deep.

    Args:
        store: the manifest store that they come from.
        failing: addresses of what does not verify now.
        anchors_pem: the verifier's own anchors of signers.
    """
    for one in ingredients:
        label = one["manifest_label"]
        if not one["has_manifest"]:
            one["standing"] = (Standing.NAMED if label else Standing.NONE).value
        elif one["failures"] or any(f"/{label}/" in f"{address}/" for address in failing):
            one["standing"] = Standing.FAILED.value
        else:
            trusted = _signed_by_trusted(store, label, anchors_pem)
            one["standing"] = (Standing.TRUSTED if trusted else Standing.VALID).value
        if one["manifest"]:
            add_standing(one["manifest"]["ingredients"], store, failing, anchors_pem)


def walk(ingredients: Sequence[Mapping[str, Any]]) -> Iterator[Node]:
    """Every ingredient, depth first, at most 500 of them."""
    waiting = [_node(ingredients, index, ()) for index in reversed(range(len(ingredients)))]
    for _ in range(_MAX_NODES):
        if not waiting:
            return
        node = waiting.pop()
        yield node
        below = (node.ingredient.get("manifest") or {}).get("ingredients") or []
        waiting += [_node(below, index, node.last) for index in reversed(range(len(below)))]


def branches(node: Node) -> str:
    """The lines that lead to a node, as a terminal draws them."""
    if not node.depth:
        return ""
    trunk = "".join("   " if last else "│  " for last in node.last[1:-1])
    return trunk + ("└─ " if node.last[-1] else "├─ ")


def _node(siblings: Sequence[Mapping[str, Any]], index: int, above: tuple[bool, ...]) -> Node:
    return Node(len(above), (*above, index + 1 == len(siblings)), siblings[index])


def _signed_by_trusted(store: bytes, label: str, anchors_pem: Sequence[str]) -> bool:
    try:
        chain = jumbf.signature_certificates(store, label)
    except ValueError:
        return False
    return trusted_anchor(chain, anchors_pem) is not None
