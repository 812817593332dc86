"""``veilmark trust`` as people use it: lists, fingerprints to compare, and one file for a colleague."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from provenance.home import Home
from provenance.identity import certificates
from provenance.ledger.note import SigningKey
from provenance.trust.store import TrustStore
from tests.cli.conftest import Run
from tests.support import trust_lists
from tests.support.certificates import pem_of


def test_the_c2pa_lists_count_only_once_somebody_says_so(veilmark: Callable[..., Run]) -> None:
    assert veilmark("trust", "list").out == ""
    done = veilmark("trust", "add", "--list", "c2pa")
    assert done.code == 0
    assert "for signers, C2PA Trust List, issue 1 of 2026-08-05, 30 certificates" in done.out
    assert "for time-stamps, C2PA TSA Trust List" in done.out and "CC BY 4.0" in done.err
    listed = {one["name"]: one for one in veilmark("trust", "list", "--json").json}
    assert set(listed) == {"c2pa", "c2pa-tsa"}
    assert listed["c2pa"]["expires"] == "2027-08-05T00:11:39Z"
    assert all(one["expires"] > "2027" for one in listed["c2pa"]["certificates"])
    assert "next update 2027-08-05, first certificate ends 2030-05-08" in veilmark("trust", "list").out
    assert "expires      2030-05-08T22:36:26Z" in veilmark("trust", "list", "-v").out
    anchors = TrustStore.load(Home.locate()).anchors
    assert anchors.signers != anchors.time_stamps and not anchors.identities and not anchors.allowed
    for name in listed:
        assert veilmark("trust", "remove", name).code == 0
    assert veilmark("trust", "list").out == ""


@pytest.mark.parametrize(
    ("option", "kind"),
    [
        ("--anchor", "anchor"),
        ("--time-stamp-anchor", "time-stamp-anchor"),
        ("--identity-anchor", "identity-anchor"),
    ],
)
def test_what_is_added_is_shown_to_compare(
    veilmark: Callable[..., Run], tmp_path: Path, option: str, kind: str
) -> None:
    root = trust_lists.authority("Example")
    (tmp_path / "root.pem").write_text(certificates.to_pem([root]))
    done = veilmark("trust", "add", option, tmp_path / "root.pem")
    digest = hashlib.sha256(certificates.to_der(root)).hexdigest()
    assert done.code == 0 and f"SHA-256 {digest}" in done.out
    assert "CN=Example root" in done.out and f"{root.not_valid_after_utc:%Y-%m-%d}" in done.out
    (entry,) = veilmark("trust", "list", "--json").json
    assert (entry["kind"], entry["sha256"]) == (kind, digest)
    assert veilmark("trust", "remove", entry["name"]).code == 0


def test_one_trust_file_is_enough_for_a_colleague(
    ready: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signed: dict[str, Path]
) -> None:
    witness = str(SigningKey.generate("witness.example").verifier)
    contract = "0x" + "ab" * 20
    assert ready("trust", "add", "--witness", witness).code == 0
    assert ready("trust", "add", "--contract", f"1:{contract}:0x{'cd' * 20}", "--name", "chain").code == 0
    assert ready("trust", "add", "--list", "c2pa").code == 0
    path = tmp_path / "house.json"
    done = ready("trust", "export", "-o", path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert done.code == 0 and digest in done.err
    assert ready("trust", "export", "-o", path).code == 2, "it is not overwritten"

    monkeypatch.setenv("VEILMARK_HOME", str(tmp_path / "colleague"))
    assert ready("verify", signed["hopper"]).code == 5
    done = ready("trust", "add", "--file", path)
    assert done.code == 0 and digest in done.err
    kinds = [one["kind"] for one in ready("trust", "list", "--json").json]
    assert sorted(kinds) == ["anchor", "contract", "log", "witness"], "published lists are not passed on"
    (verdict,) = ready("verify", signed["hopper"], "--json").json
    assert (verdict["state"], verdict["ledger"]["status"]) == ("trusted", "logged")
    assert ready("trust", "add", "--file", path).code == 0
    assert len(ready("trust", "list", "--json").json) == 4, "adding again changes nothing"
    assert ready("trust", "export", "chain", "-o", tmp_path / "one.json").code == 0
    assert [one["kind"] for one in json.loads((tmp_path / "one.json").read_text())["items"]] == ["contract"]
    assert ready("trust", "export", "nobody", "-o", tmp_path / "x.json").code == 2


@pytest.mark.parametrize(
    "items",
    [
        [],
        [{"kind": "anchor", "name": "a", "text": "no PEM"}],
        [{"kind": "log", "name": "a", "text": "no+key"}],
        [{"kind": "contract", "name": "a", "text": "{}"}],
        [{"kind": "revocation", "name": "a", "text": "{}"}],
        [{"kind": "secret", "name": "a", "text": "x"}],
        [{"kind": "log"}],
        "text",
    ],
)
def test_a_damaged_trust_file_adds_nothing(
    veilmark: Callable[..., Run], tmp_path: Path, items: object
) -> None:
    good = {"kind": "log", "name": "good", "text": str(SigningKey.generate("log.example").verifier)}
    body = [good, *items] if isinstance(items, list) and items else items
    (tmp_path / "file.json").write_text(json.dumps({"schema": "veilmark.trust-file/1", "items": body}))
    done = veilmark("trust", "add", "--file", tmp_path / "file.json")
    assert done.code == 2 and "Traceback" not in done.err
    assert veilmark("trust", "list").out == ""


def test_two_things_at_once_or_none_are_refused(veilmark: Callable[..., Run], tmp_path: Path) -> None:
    assert veilmark("trust", "add").code == 2
    assert veilmark("trust", "add", "--list", "c2pa", "--log", "x").code == 2
    assert veilmark("trust", "add", "--list", "nothing-of-that-name").code == 2
    assert veilmark("trust", "add", "--log", "x", "--for", "signers").code == 2
    assert veilmark("trust", "add", "--list", "c2pa", "--url", "http://example.org/").code == 2


def test_all_that_is_kept_is_for_the_owner_alone(ready: Callable[..., Run], signed: dict[str, Path]) -> None:
    assert ready("trust", "add", "--list", "c2pa").code == 0
    assert ready("find", signed["hopper"]).code == 0
    home = Home.locate()
    open_to_others = [
        path
        for folder in (home.data, home.config)
        for path in folder.rglob("*")
        if path.is_file() and path.stat().st_mode & 0o077
    ]
    assert open_to_others == []


def test_an_identity_beside_the_signer_from_the_command_line(
    ready: Callable[..., Run], portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    root_key, key = certificates.generate_key("es256"), certificates.generate_key("es256")
    root = certificates.make_root(root_key, "Example Identities")
    leaf = certificates.make_leaf(root, root_key, key.public_key(), "Jane Q. Public")
    cert, private, anchor, output = (tmp_path / name for name in ("j.pem", "j.key", "r.pem", "out.jpg"))
    cert.write_text(certificates.to_pem([leaf, root]))
    anchor.write_text(certificates.to_pem([root]))
    private.write_bytes(pem_of(key))
    options = ("--identity-cert", cert, "--identity-key", private, "-o", output)
    refused = ready("sign", portrait_files["hopper"], *options)
    assert refused.code == 2 and "chmod 600" in refused.err and not output.exists()
    private.chmod(0o600)
    assert ready("sign", portrait_files["hopper"], *options[:2], "-o", output).code == 2
    assert ready("sign", portrait_files["hopper"], *options).code == 0
    shown = ready("verify", output)
    assert shown.code == 0
    assert "Jane Q. Public  (issued by Example Identities root, name not confirmed)" in shown.out
    assert ready("trust", "add", "--identity-anchor", anchor).code == 0
    assert "Jane Q. Public  (issued by Example Identities root, confirmed)" in ready("verify", output).out
    other = tmp_path / "other.key"
    other.write_bytes(pem_of(root_key))
    other.chmod(0o600)
    wrong = ready("sign", portrait_files["hopper"], *options[:3], other, "-o", tmp_path / "x.jpg")
    assert wrong.code == 2 and "is not the key of 'Jane Q. Public'" in wrong.err


@pytest.mark.parametrize(("answer", "lists"), [("y", ["c2pa", "c2pa-tsa"]), ("n", []), ("", [])])
def test_init_asks_on_a_terminal(tmp_path: Path, answer: str, lists: list[str]) -> None:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "VEILMARK_HOME": str(tmp_path / "fresh"), "PYTHONPATH": str(root)}
    ours, theirs = pty.openpty()
    try:
        os.write(ours, f"{answer}\n".encode())
        done = subprocess.run(
            [sys.executable, str(root / "cli.py"), "init", "--name", "Jane"],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
            timeout=120,
            check=False,
        )
        said = os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 0, said
    assert "public trust lists" in said
    store = TrustStore.load(Home.at(tmp_path / "fresh"))
    assert sorted(one.name for one in store.lists) == lists
    assert len(store.anchors.signers) == 1 + bool(lists), "one's own root, and the list where it was wanted"
