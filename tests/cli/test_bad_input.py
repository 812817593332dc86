"""Bad input: one clear line, a hint, the right exit code, nothing half written."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Run

Command = Callable[..., Run]


def png_bomb() -> bytes:
    """A valid 60,000 x 60,000 one-bit PNG of a few hundred kilobytes: 3.6 billion pixels when decoded."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    row = b"\x00" + bytes(60_000 * 3)
    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(row) for _ in range(60)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.fixture
def bad_files(portrait_files: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    folder = tmp_path / "bad"
    folder.mkdir()
    jpeg = portrait_files["hopper"].read_bytes()
    contents = {
        "text.jpg": b"This is a letter, not a picture.\n",
        "empty.jpg": b"",
        "truncated.jpg": jpeg[: len(jpeg) // 2],
        "bomb.png": png_bomb(),
        "header-only.jpg": jpeg[:20],
    }
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return {name: folder / name for name in contents}


@pytest.mark.parametrize("name", ["text.jpg", "empty.jpg", "truncated.jpg", "bomb.png", "header-only.jpg"])
@pytest.mark.parametrize("command", ["sign", "verify", "find", "cloak", "record"])
def test_unreadable_input_gives_3(
    ready: Command, bad_files: dict[str, Path], tmp_path: Path, name: str, command: str
) -> None:
    out = tmp_path / "out"
    options = ["-o", out] if command in ("sign", "cloak", "record") else []
    done = ready(command, bad_files[name], *options)
    assert done.code == 3, done.err + done.out
    # before it begins, `cloak` says in a line whom it works against
    lines = [line for line in done.err.strip().splitlines() if not line.startswith("strength ")]
    assert lines[0].startswith("error: ") and len(lines) <= 2
    assert "unexpected" not in lines[0]
    assert not list(out.glob("*")) if out.exists() else True


@pytest.mark.parametrize("command", ["sign", "verify", "find", "cloak", "record"])
def test_missing_file_gives_2(ready: Command, tmp_path: Path, command: str) -> None:
    done = ready(command, tmp_path / "nowhere.jpg")
    assert done.code == 2
    assert "does not exist" in done.err and "hint: " in done.err


@pytest.mark.parametrize("command", ["sign", "cloak"])
def test_unwritable_output_gives_2(
    ready: Command, portrait_files: dict[str, Path], tmp_path: Path, command: str
) -> None:
    (tmp_path / "file").write_text("a file where a folder should be")
    done = ready(command, portrait_files["hopper"], "-o", tmp_path / "file" / "out.jpg")
    assert done.code == 2, done.err
    assert "error: cannot write" in done.err and "hint: " in done.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_write_permission_gives_2(
    ready: Command, portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    done = ready("sign", portrait_files["hopper"], "-o", locked / "out.jpg")
    assert done.code == 2
    assert "cannot write" in done.err


def test_json_errors_are_objects(ready: Command, bad_files: dict[str, Path]) -> None:
    done = ready("verify", bad_files["text.jpg"], bad_files["empty.jpg"], "--json")
    assert done.code == 3
    assert [line["schema"] for line in done.json] == ["veilmark.error/1"] * 2


def test_a_damaged_receipt_is_told_and_spoils_no_manifest(ready: Command, signed: dict[str, Path]) -> None:
    receipt = Path(f"{signed['hopper']}.receipt")
    receipt.write_text("garbage")
    done = ready("verify", signed["hopper"], "--json")
    assert done.code == 0
    assert any("cannot be read" in warning for warning in done.json[0]["warnings"])
    assert done.json[0]["ledger"]["status"] == "logged"
    assert ready("verify", signed["hopper"], "--receipt", receipt).code == 3


def test_a_damaged_receipt_without_a_manifest_cannot_be_checked(
    ready: Command, portrait_files: dict[str, Path]
) -> None:
    assert ready("record", portrait_files["hopper"]).code == 0
    Path(f"{portrait_files['hopper']}.receipt").write_text("garbage")
    assert ready("verify", portrait_files["hopper"]).code == 3


def test_standard_output_is_no_folder(
    ready: Command, portrait_files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = ready("sign", portrait_files["hopper"], "-o", "-")
    assert done.code == 2 and "standard output" in done.err and not (tmp_path / "-").exists()


def test_a_pipe_by_name_is_told_how_to_be_read(ready: Command, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    done = ready("verify", tmp_path / "pipe.jpg")
    assert done.code == 2 and "give - to read" in done.err
