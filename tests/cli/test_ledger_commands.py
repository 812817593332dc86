"""The ledger, trust, identity and store groups, through the command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Run

Command = Callable[..., Run]


def test_status_log_and_info(ready: Command, signed: dict[str, Path]) -> None:
    state = ready("ledger", "status", "--json").json[0]
    assert state["size"] == 2 and state["fork"] is None
    lines = ready("ledger", "log", "--json").json
    assert [line["index"] for line in lines] == [1, 0]
    info = ready("ledger", "info", f"{signed['hopper']}.receipt", "--json").json[0]
    assert info["included"] and info["record_signed"] and info["trusted_log"]
    assert info["record"]["relation"] == "captured"


def test_proof_replaces_a_lost_receipt(ready: Command, signed: dict[str, Path], tmp_path: Path) -> None:
    Path(f"{signed['hopper']}.receipt").unlink()
    assert ready("ledger", "proof", signed["hopper"]).code == 0
    assert ready("verify", signed["hopper"]).code == 0
    stranger = tmp_path / "stranger.png"
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(stranger)
    assert ready("ledger", "proof", stranger).code == 4


def test_audit_publish_and_audit_of_the_published(
    ready: Command, signed: dict[str, Path], tmp_path: Path
) -> None:
    assert ready("ledger", "audit", "--signatures").code == 0
    assert ready("ledger", "publish", tmp_path / "site").code == 0
    assert ready("ledger", "audit", tmp_path / "site").code == 0
    bundle = next((tmp_path / "site" / "tile" / "entries").rglob("*.p/*"))
    data = bytearray(bundle.read_bytes())
    data[-1] ^= 1
    bundle.chmod(0o644)
    bundle.write_bytes(data)
    done = ready("ledger", "audit", tmp_path / "site", "--json")
    assert done.code == 1
    assert done.json[0]["ok"] is False and done.json[0]["problems"]


def test_a_later_log_extends_an_earlier_one(
    ready: Command, signed: dict[str, Path], portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    site, earlier = tmp_path / "site", tmp_path / "earlier"
    assert ready("ledger", "publish", site).code == 0
    earlier.write_bytes((site / "checkpoint").read_bytes())
    assert ready("sign", portrait_files["hopper"], "-o", tmp_path / "third.jpg").code == 0
    assert ready("ledger", "publish", site).code == 0
    found = ready("ledger", "check-consistency", earlier, site, "--json")
    assert found.code == 0, found.err
    assert (found.json[0]["old_size"], found.json[0]["size"]) == (2, 3)
    receipt = f"{signed['hopper']}.receipt"
    assert ready("ledger", "check-consistency", receipt, site).code == 0, "a receipt holds a checkpoint"

    proof = tmp_path / "proof.json"
    proof.write_text(ready("ledger", "consistency", "2", "--json").out)
    offline = ("ledger", "check-consistency", earlier, site / "checkpoint", "--proof", proof)
    assert ready(*offline).code == 0
    assert ready("ledger", "check-consistency", site / "checkpoint", earlier, "--proof", proof).code == 1
    hashes = json.loads(proof.read_text())["proof"]
    proof.write_text(json.dumps({"proof": ["00" * 32, *hashes[1:]]}))
    assert ready(*offline).code == 1
    proof.write_text("[]")
    assert ready(*offline).code == 3


def test_backup_restore_and_the_refusal_to_fork(
    ready: Command, signed: dict[str, Path], portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    backup = tmp_path / "ledger.backup"
    assert ready("ledger", "backup", backup).code == 0
    assert ready("sign", portrait_files["hopper"], "-o", tmp_path / "third.jpg").code == 0
    assert ready("ledger", "restore", backup).code == 3, (
        "a shorter log must not silently replace a longer one"
    )
    done = ready("ledger", "restore", backup, "--force")
    assert done.code == 0 and "will not sign" in done.err
    refused = ready("sign", portrait_files["astronaut"], "-o", tmp_path / "fourth.jpg")
    assert refused.code == 3, refused.err
    assert not (tmp_path / "fourth.jpg").exists()
    assert ready("verify", signed["hopper"]).code == 0, "reading still works"


def test_an_export_brings_a_restored_log_back(
    ready: Command, signed: dict[str, Path], portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    backup = tmp_path / "ledger.backup"
    assert ready("ledger", "backup", backup).code == 0
    assert ready("sign", portrait_files["hopper"], "-o", tmp_path / "third.jpg").code == 0
    assert ready("ledger", "export", tmp_path / "export", "--features").code == 0
    assert ready("ledger", "restore", backup, "--force").code == 0
    assert ready("ledger", "catch-up", tmp_path / "export").code == 0
    assert ready("sign", portrait_files["astronaut"], "-o", tmp_path / "fourth.jpg").code == 0
    assert ready("ledger", "audit").code == 0
    proof = ready("ledger", "consistency", "2", "--json").json[0]
    assert (proof["old_size"], proof["size"]) == (2, 4)
    assert ready("ledger", "cosign", "http://127.0.0.1:9").code == 2, "no witness is trusted yet"


def test_a_stranger_comes_to_trust(
    ready: Command, signed: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root.pem"
    root.write_text(ready("identity", "show", "--root").out)
    key = ready("ledger", "status", "--json").json[0]["log_key"]
    monkeypatch.setenv("VEILMARK_HOME", str(tmp_path / "stranger"))
    assert ready("verify", signed["hopper"]).code == 5
    assert ready("trust", "add", "--anchor", root).code == 0
    assert (
        ready("verify", signed["hopper"], "--json").json[0]["ledger"]["status"] == "logged-in-an-unknown-log"
    )
    assert ready("trust", "add", "--log", key).code == 0
    verdict = ready("verify", signed["hopper"], "--json")
    assert verdict.code == 0 and verdict.json[0]["ledger"]["status"] == "logged"
    entries = {line["kind"]: line["name"] for line in ready("trust", "list", "--json").json}
    assert set(entries) == {"anchor", "log"}
    assert ready("trust", "remove", entries["anchor"]).code == 0
    assert ready("verify", signed["hopper"]).code == 5


def test_a_self_made_certificate_with_a_famous_name_is_a_claim(
    ready: Command, portrait_files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = tmp_path / "honest.pem"
    honest.write_text(ready("identity", "show", "--root").out)
    monkeypatch.setenv("VEILMARK_HOME", str(tmp_path / "forger"))
    assert ready("init", "--name", "Test Photographer").code == 0
    forged = tmp_path / "forged.jpg"
    assert ready("sign", portrait_files["hopper"], "-o", forged).code == 0
    monkeypatch.setenv("VEILMARK_HOME", str(tmp_path / "reader"))
    assert ready("trust", "add", "--anchor", honest).code == 0
    done = ready("verify", forged)
    assert done.code == 5
    assert "name not confirmed" in done.out


def test_revoked_key_no_longer_counts(ready: Command, signed: dict[str, Path], tmp_path: Path) -> None:
    statement = tmp_path / "revoked.json"
    done = ready("identity", "revoke", "default", "--reason", "keyCompromise", "-o", statement)
    assert done.code == 0, done.err
    verdict = ready("verify", signed["hopper"], "--json")
    assert verdict.code == 1
    assert "revoked" in verdict.json[0]["headline"]
    assert json.loads(statement.read_text())["reason"] == "keyCompromise"


def test_rotation_keeps_old_signatures_good(
    ready: Command, signed: dict[str, Path], portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    before = ready("identity", "show", "--json").json[0]["key_id"]
    assert ready("identity", "rotate", "default").code == 0
    after = ready("identity", "show", "--json").json[0]["key_id"]
    assert before != after
    assert ready("verify", signed["hopper"]).code == 0
    assert ready("sign", portrait_files["hopper"], "-o", tmp_path / "new.jpg").code == 0
    assert ready("verify", tmp_path / "new.jpg").code == 0


def test_passphrase_protects_the_key(
    veilmark: Command, portrait_files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VEILMARK_PASSPHRASE", "correct horse battery")
    assert veilmark("init", "--name", "Careful").code == 0
    key = next((tmp_path / "veilmark-home").rglob("leaf.key")).read_text()
    assert "ENCRYPTED" in key
    assert veilmark("sign", portrait_files["hopper"], "-o", tmp_path / "a.jpg").code == 0
    monkeypatch.setenv("VEILMARK_PASSPHRASE", "wrong horse battery")
    done = veilmark("sign", portrait_files["hopper"], "-o", tmp_path / "b.jpg")
    assert done.code == 2 and "passphrase is wrong" in done.err
    monkeypatch.delenv("VEILMARK_PASSPHRASE")
    done = veilmark("sign", portrait_files["hopper"], "-o", tmp_path / "b.jpg")
    assert done.code == 2 and "VEILMARK_PASSPHRASE" in done.err
    assert not (tmp_path / "b.jpg").exists()


def test_store_gives_what_its_id_says(ready: Command, signed: dict[str, Path], tmp_path: Path) -> None:
    cids = ready("store", "list").out.split()
    assert len(cids) == 4, "two manifests and two receipts"
    car = tmp_path / "all.car"
    assert ready("store", "export", car, *cids).code == 0
    receipt = Path(f"{signed['hopper']}.receipt").read_bytes()
    kept = []
    for cid in cids:
        assert ready("store", "get", cid, "-o", tmp_path / cid).code == 0
        kept.append((tmp_path / cid).read_bytes())
    assert receipt in kept
    assert ready("store", "get", "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy").code == 3


def test_record_of_a_bare_hash(ready: Command, tmp_path: Path) -> None:
    done = ready("record", "--hash", "ab" * 32, "-o", tmp_path / "thing.receipt", "--json")
    assert done.code == 0 and done.json[0]["record"]["file_sha256"] == "ab" * 32
    assert ready("ledger", "info", tmp_path / "thing.receipt").code == 0
    assert ready("record", "--hash", "xyz").code == 2


def test_hot_folder_once(ready: Command, portraits: dict[str, np.ndarray], tmp_path: Path) -> None:
    hot, out = tmp_path / "hot", tmp_path / "out"
    hot.mkdir()
    for index in range(3):
        Image.fromarray(portraits["hopper"][index:]).save(hot / f"{index}.jpg")
    (hot / "notes.txt").write_text("no media")
    done = ready("watch", hot, "-o", out, "--once", "--settle", "0.1")
    assert done.code == 0, done.err
    assert "signed 3" in done.out
    assert ready("verify", out, "--brief").code == 0
    again = ready("watch", hot, "-o", out, "--once", "--settle", "0.1")
    assert again.code == 0
    assert ready("ledger", "status", "--json").json[0]["size"] == 3


@pytest.mark.vectors
def test_capture_from_a_film(ready: Command, test_data: Path, tmp_path: Path) -> None:
    film = test_data / "media" / "talking" / "speaker3.mp4"
    photo = tmp_path / "photo.jpg"
    done = ready("capture", "--device", film, "-o", photo, "--device-name", "Test Camera")
    assert done.code == 0, done.err
    assert ready("verify", photo).code == 0
    clip = tmp_path / "clip.mp4"
    done = ready("capture", "--device", film, "-o", clip, "--video", "1")
    assert done.code == 0, done.err
    assert ready("verify", clip).code == 0
    assert ready("capture", "--device", "987", "-o", tmp_path / "none.jpg").code == 2
