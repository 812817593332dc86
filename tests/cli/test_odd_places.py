"""Strange names, links, full disks, two processes at once, a clock set back."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import ExifTags, Image

from tests.cli.conftest import Run, python

NAMES = [
    "Grüße aus Köln.jpg",
    "写真 📷.jpg",
    "صورة.jpg",
    "line\nbreak.jpg",
    "-o.jpg",
    "%s{0}$HOME`x`.jpg",
    os.fsdecode(b"latin-\xe9.jpg"),
    "e\u0301.jpg",
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_any_file_name_signs_and_verifies(
    name: str, ready: Callable[..., Run], portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    source, output = tmp_path / "in" / name, tmp_path / "out" / name
    source.parent.mkdir()
    try:
        shutil.copy(portrait_files["hopper"], source)
    except (OSError, UnicodeError):
        pytest.skip("this file system has no such names")
    done = ready("sign", source, "-o", output.parent)
    assert done.code == 0, done.err
    checked = ready("verify", output, "--json")
    assert checked.code == 0, checked.err
    assert checked.json[0]["state"] == "trusted"


def test_a_name_too_long_for_its_receipt_is_refused_before_anything_is_written(
    ready: Callable[..., Run], portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    output = folder / ("n" * 251 + ".jpg")
    done = ready("sign", portrait_files["hopper"], "-o", output)
    assert done.code == 2
    assert "too long" in done.err
    assert "hint: choose a shorter name" in done.err
    assert not folder.exists() or list(folder.iterdir()) == []
    assert '"size": 0' in ready("ledger", "status", "--json").out
    assert ready("sign", portrait_files["hopper"], "-o", output, "--no-receipt").code == 0
    assert ready("verify", output).code == 0


def test_links_are_followed_and_stay_links(
    ready: Callable[..., Run], portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    link = tmp_path / "folder" / "link.jpg"
    link.parent.mkdir()
    link.symlink_to(portrait_files["hopper"])
    done = ready("sign", link, portrait_files["hopper"], "--in-place", "--json")
    assert done.code == 0, done.err
    assert [line.get("skipped") for line in done.json] == [None, "named-twice"]
    assert link.is_symlink()
    assert ready("verify", portrait_files["hopper"]).code == 0
    dangling = tmp_path / "dangling.jpg"
    dangling.symlink_to(tmp_path / "nowhere.jpg")
    assert ready("verify", dangling).code == 2
    loop = tmp_path / "folder" / "loop"
    loop.symlink_to(tmp_path / "folder")
    walked = ready("verify", tmp_path / "folder", "--json")
    assert walked.code == 0, walked.err
    assert len(walked.json) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, 1.5 MB large."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1536k", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("nothing can be mounted here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_loses_nothing_and_leaves_nothing_half_written(
    small_disk: Path, ready: Callable[..., Run], portrait_files: dict[str, Path]
) -> None:
    (small_disk / "ballast").write_bytes(bytes(1_500_000))
    before = sorted(small_disk.iterdir())
    done = ready("sign", portrait_files["astronaut"], "-o", small_disk / "out.jpg")
    assert done.code == 2, done.err
    assert "No space left" in done.err
    assert sorted(small_disk.iterdir()) == before
    assert '"size": 0' in ready("ledger", "status", "--json").out
    (small_disk / "ballast").unlink()
    assert ready("sign", portrait_files["astronaut"], "-o", small_disk / "out.jpg").code == 0


def test_a_ledger_on_a_full_disk_refuses_and_keeps_what_it_had(
    small_disk: Path,
    veilmark: Callable[..., Run],
    portrait_files: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VEILMARK_HOME", str(small_disk / "home"))
    assert veilmark("init", "--name", "Test").code == 0
    assert veilmark("sign", portrait_files["hopper"], "-o", tmp_path / "first.jpg").code == 0
    free = shutil.disk_usage(small_disk).free
    (small_disk / "ballast").write_bytes(bytes(max(0, free - 4096)))
    full = veilmark("sign", portrait_files["astronaut"], "-o", tmp_path / "second.jpg")
    assert full.code in (2, 3), full.err
    assert not (tmp_path / "second.jpg").exists()
    (small_disk / "ballast").unlink()
    assert veilmark("verify", tmp_path / "first.jpg").code == 0
    assert veilmark("ledger", "audit").code == 0
    assert veilmark("sign", portrait_files["astronaut"], "-o", tmp_path / "second.jpg").code == 0


def test_two_processes_signing_one_file_leave_one_whole_result(
    ready: Callable[..., Run], portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    output = tmp_path / "out.jpg"
    arguments = ("-m", "cli", "sign", str(portrait_files["hopper"]), "-o", str(output))
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda _: python(*arguments), range(3)))
    codes = sorted(one.returncode for one in done)
    assert codes == [0, 2, 2], [one.stderr for one in done]
    assert all("already exists" in one.stderr for one in done if one.returncode)
    checked = ready("verify", output, "--json")
    assert checked.code == 0, checked.err
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out.jpg", "out.jpg.receipt"]
    assert ready("ledger", "audit").code == 0


def test_two_processes_signing_in_place_lose_no_signature(
    ready: Callable[..., Run], portrait_files: dict[str, Path]
) -> None:
    path = portrait_files["hopper"]
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: python("-m", "cli", "sign", str(path), "--in-place"), range(2)))
    assert [one.returncode for one in done] == [0, 0], [one.stderr for one in done]
    assert ready("verify", path, "--json").json[0]["state"] == "trusted"


def test_a_clock_set_back_is_told_and_the_order_stays(
    signed: dict[str, Path], ready: Callable[..., Run], portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    if not shutil.which("faketime"):
        pytest.skip("needs the program faketime")
    back = ["faketime", "-f", "-40m", sys.executable, "-m", "cli"]
    root = Path(__file__).parents[2]

    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*back, *map(str, arguments)], cwd=root, capture_output=True, text=True, timeout=120, check=False
        )

    early = call("sign", portrait_files["hopper"], "-o", tmp_path / "early.jpg")
    if early.returncode == 0:
        assert "40 minutes behind the ledger's last entry" in early.stderr
    else:
        # the certificate was made after what the clock says
        assert "clock" in early.stderr
        assert not (tmp_path / "early.jpg").exists()
    assert ready("sign", portrait_files["hopper"], "-o", tmp_path / "now.jpg").code == 0
    assert ready("ledger", "audit").code == 0


def test_a_place_in_the_exif_is_pointed_out(
    ready: Callable[..., Run], portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    with Image.open(portrait_files["hopper"]) as image:
        exif = image.getexif()
        exif.get_ifd(ExifTags.IFD.GPSInfo)[1] = "N"
        exif.get_ifd(ExifTags.IFD.GPSInfo)[2] = (48.0, 8.0, 0.0)
        image.save(tmp_path / "placed.jpg", exif=exif)
    assert "where it was taken" in ready("sign", tmp_path / "placed.jpg", "-o", tmp_path / "a.jpg").err
    assert "where it" not in ready("sign", portrait_files["astronaut"], "-o", tmp_path / "b.jpg").err
