"""The provenance tree: each ingredient with title, part, signer, date, standing and picture."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from provenance.home import Home
from provenance.identity import certificates
from provenance.identity.identity import create_identity
from provenance.manifest.embed import ManifestSpec, Parent, sign_manifest
from provenance.manifest.tree import Standing, branches, walk
from provenance.pages.thumbnails import pictures_of
from provenance.pages.verdict import verdict_page
from provenance.record import Relation
from provenance.trust.store import TrustStore
from provenance.verdict import Verdict
from provenance.verify import verify_file
from provenance.words import ingredient_words
from tests.support import odd_manifests
from tests.support.odd_manifests import Vendor
from tests.support.schemas import checked


@pytest.fixture
def trust(tmp_path: Path) -> TrustStore:
    return TrustStore.load(Home(tmp_path / "data", tmp_path / "config"))


@pytest.fixture
def collage(portrait_files: dict[str, Path], tmp_path: Path) -> Callable[[], tuple[Path, Vendor, str]]:
    """A file made from a camera's edited shot, an unsigned part, and an original that is only named."""

    def make() -> tuple[Path, Vendor, str]:
        photo, part = portrait_files["hopper"], portrait_files["astronaut"]
        camera, editor = Vendor("Camera"), Vendor("Editor")
        shot = camera.sign(photo, tmp_path / "shot.jpg")
        edit = editor.sign(photo, tmp_path / "edit.jpg", parents=[shot])
        home = Home(tmp_path / "desk", tmp_path / "desk/config")
        desk = create_identity(home, subject="Desk")
        other = tmp_path / "secret.jpg"
        sign_manifest(part, other, ManifestSpec(title="secret", thumbnail=True), desk)
        thumbed = tmp_path / "thumbed.jpg"
        sign_manifest(part, thumbed, ManifestSpec(title="thumbed", thumbnail=True), desk)
        spec = ManifestSpec(
            relation=Relation.EDITED,
            parents=(
                Parent(edit),
                Parent(part, "componentOf"),
                Parent(other, "componentOf", embed=False),
                Parent(thumbed, "inputTo"),
            ),
        )
        sign_manifest(photo, tmp_path / "collage.jpg", spec, desk)
        return tmp_path / "collage.jpg", camera, certificates.to_pem([desk.root])

    return make


def lines(verdict: Verdict) -> list[str]:
    return [branches(node) + ingredient_words(node.ingredient) for node in walk(verdict.ingredients)]


def test_each_ingredient_with_signer_date_and_standing(
    trust: TrustStore, collage: Callable[[], tuple[Path, Vendor, str]]
) -> None:
    path, camera, desk = collage()
    trust.add_anchor(desk)
    trust.add_anchor(camera.root_pem)
    verdict = verify_file(path, trust)
    assert verdict.state == "trusted"
    day = re.compile(r", \d{4}-\d\d-\d\d\)$")
    said = lines(verdict)
    assert [day.sub(")", one) for one in said] == [
        said[0],
        "edit.jpg  (signed by Editor, name not confirmed)",
        "└─ shot.jpg  (signed by Camera, whom you trust)",
        "astronaut.jpg  (a part of it, not signed)",
        "thumbed.jpg  (used to make it, signed by Desk, whom you trust)",
    ]
    assert said[0] == "secret.jpg  (a part of it, a signed original, not inside)"
    assert day.search(said[4])
    standings = [node.ingredient["standing"] for node in walk(verdict.ingredients)]
    assert standings == ["named", "valid", "trusted", "none", "trusted"]
    assert checked(verdict.to_json())["ingredients"][1]["manifest"]["ingredients"][0]["standing"] == "trusted"


def test_a_broken_one_is_marked_where_it_stands(
    trust: TrustStore, collage: Callable[[], tuple[Path, Vendor, str]], tmp_path: Path
) -> None:
    path, _, _ = collage()
    odd_manifests.break_ingredient(path)
    verdict = verify_file(path, trust)
    standings = [node.ingredient["standing"] for node in walk(verdict.ingredients)]
    assert standings == ["named", "failed", "valid", "none", "valid"]
    assert lines(verdict)[1].startswith("edit.jpg  (does not verify; signed as Editor")


def test_the_page_shows_the_tree_with_pictures(
    trust: TrustStore, collage: Callable[[], tuple[Path, Vendor, str]]
) -> None:
    path, _, _ = collage()
    verdict = verify_file(path, trust)
    page = verdict_page([verdict], [pictures_of(path, verdict)])
    tree = page[page.index("<h3>Made from</h3>") :]
    assert tree.count('class="step open"') == 3 and tree.count('class="step none"') == 2
    assert tree.index("edit.jpg") < tree.index("shot.jpg") < tree.index("astronaut.jpg")
    assert "signed by Camera, name not confirmed" in tree
    assert "made (taken with a camera)" in tree and "c2pa." not in tree
    assert re.search("<th>Use<td>[^<:]*AI training[^<:]*: not allowed", page)
    shown = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', tree)
    assert shown and all(base64.b64decode(one).startswith(b"\xff\xd8\xff") for one in shown)


@pytest.mark.vectors
def test_the_tree_of_a_public_file(trust: TrustStore, test_data: Path) -> None:
    path = test_data / "vectors/c2pa/image/jpeg/adobe-20220124-CAICA.jpg"
    nodes = list(walk(verify_file(path, trust).ingredients))
    assert len(nodes) >= 3 and max(node.depth for node in nodes) >= 1
    assert {node.ingredient["standing"] for node in nodes} <= {one.value for one in Standing}
    broken = test_data / "vectors/c2pa/image/jpeg/adobe-20220124-CIE-sig-CA.jpg"
    standings = [node.ingredient["standing"] for node in walk(verify_file(broken, trust).ingredients)]
    assert "failed" in standings


def test_a_tree_of_any_size_ends() -> None:
    one: dict[str, object] = {"title": "x", "manifest": None}
    for _ in range(40):
        one = {"title": "x", "manifest": {"ingredients": [one, one]}}
    nodes = list(walk([one]))
    assert len(nodes) == 500
    deep = max(nodes, key=lambda node: node.depth)
    assert branches(deep).endswith(("├─ ", "└─ ")) and len(branches(deep)) == 3 * deep.depth
