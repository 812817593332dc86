"""What is not sealed, what is large, and what is killed in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from provenance.errors import (
    OutputExistsError,
    StoreError,
    TamperedError,
    UsageError,
)
from provenance.manifest.spec import ManifestSpec
from provenance.sealed import open_sealed
from provenance.sealed.reference import read_cloaked
from provenance.session import Session
from provenance.sign import SignRequest, sign_file
from provenance.store.cid import Cid
from tests.provenance.sealed.conftest import Person, flipped, noise, restore, sign_cloak

Publish = Callable[..., Path]


def test_only_signed_originals_are_sealed(
    owner: Person,
    session: Session,
    signed: Path,
    portrait_files: dict[str, Path],
    publish: Publish,
    tmp_path: Path,
) -> None:
    before = sorted(map(str, session.store.cids()))
    with pytest.raises(UsageError, match="is not signed") as caught:
        publish(portrait_files["hopper"], owner.key, name="never.jpg")
    assert "veilmark sign" in caught.value.hint
    altered = tmp_path / "altered.jpg"
    altered.write_bytes(flipped(signed.read_bytes(), signed.stat().st_size - 99))
    with pytest.raises(TamperedError, match="altered after it was signed"):
        publish(altered, owner.key, name="never.jpg")
    Image.new("RGB", (40, 40)).save(tmp_path / "plain.bmp")
    with pytest.raises(UsageError, match="is not signed") as caught:
        publish(tmp_path / "plain.bmp", owner.key, name="never.jpg")
    assert "cannot hold a manifest" in caught.value.hint
    with pytest.raises(UsageError, match="1 to"):
        publish(signed, name="never.jpg")
    assert sorted(map(str, session.store.cids())) == before
    assert not (tmp_path / "never.jpg").exists()


def test_where_signing_fails_the_seal_goes_again(
    owner: Person, session: Session, signed: Path, tmp_path: Path
) -> None:
    before = sorted(map(str, session.store.cids()))
    (tmp_path / "there.jpg").write_bytes(b"in the way")
    with Image.open(signed) as picture:
        picture.resize((64, 64)).save(tmp_path / "small.jpg")
    with pytest.raises(OutputExistsError):
        sign_cloak(signed, tmp_path / "small.jpg", tmp_path / "there.jpg", session, [owner.key])
    assert sorted(map(str, session.store.cids())) == before
    assert (tmp_path / "there.jpg").read_bytes() == b"in the way"


def test_a_seal_of_many_blocks(owner: Person, session: Session, tmp_path: Path) -> None:
    """A signed WAV of 5 MB: what is larger than one block of the store."""
    import wave

    for name, size in (("sound", 5_000_000), ("soft", 50_000)):
        with wave.open(str(tmp_path / f"{name}.wav"), "wb") as stream:
            stream.setparams((1, 2, 44_100, 0, "NONE", ""))
            stream.writeframes(noise(size))
    sign_file(tmp_path / "sound.wav", tmp_path / "signed.wav", SignRequest(ManifestSpec()), session)
    sign_cloak(tmp_path / "signed.wav", tmp_path / "soft.wav", tmp_path / "out.wav", session, [owner.key])
    assert read_cloaked(tmp_path / "out.wav", owner.trust).reference.cid.startswith("bafybei")
    steps: list[float] = []
    open_sealed(
        tmp_path / "out.wav",
        tmp_path / "back.wav",
        keys=owner.keys,
        source=owner.shelf.store,
        shelf=owner.shelf,
        trust=owner.trust,
        progress=steps.append,
    )
    assert (tmp_path / "back.wav").read_bytes() == (tmp_path / "signed.wav").read_bytes()
    assert steps == sorted(steps) and 0.9 < steps[-1] <= 1
    # one lost block of many
    root = Cid.parse(read_cloaked(tmp_path / "out.wav", owner.trust).reference.cid)
    from provenance.store.unixfs import links_of

    owner.shelf.store.delete_block(links_of(root, owner.shelf.store.get_block(root))[3])
    with pytest.raises(StoreError):
        restore(owner, tmp_path / "out.wav", tmp_path / "never.wav")
    assert [
        path.name for path in tmp_path.iterdir() if "never" in path.name or path.name.startswith(".")
    ] == []


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_killed_in_the_middle_nothing_half_written_passes_for_the_original(
    owner: Person, session: Session, tmp_path: Path, how: signal.Signals
) -> None:
    import wave

    for name, size in (("sound", 30_000_000), ("soft", 50_000)):
        with wave.open(str(tmp_path / f"{name}.wav"), "wb") as stream:
            stream.setparams((1, 2, 44_100, 0, "NONE", ""))
            stream.writeframes(noise(size))
    sign_file(tmp_path / "sound.wav", tmp_path / "signed.wav", SignRequest(ManifestSpec()), session)
    sign_cloak(tmp_path / "signed.wav", tmp_path / "soft.wav", tmp_path / "out.wav", session, [owner.key])
    folder = tmp_path / "restored"
    folder.mkdir()
    command = [
        sys.executable,
        "-m",
        "cli",
        "uncloak",
        str(tmp_path / "out.wav"),
        "-o",
        str(folder / "back.wav"),
    ]
    environment = {**os.environ, "VEILMARK_HOME": str(owner.home.data)}
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, cwd=root, env=environment, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 60
        while not any(path.stat().st_size > 1_000_000 for path in folder.iterdir()):
            assert process.poll() is None and time.monotonic() < deadline, process.stderr
            time.sleep(0.002)
        process.send_signal(how)
        code = process.wait(timeout=60)
    assert code != 0
    assert not (folder / "back.wav").exists()
    if how is signal.SIGTERM:
        assert list(folder.iterdir()) == []
    again = subprocess.run(command, cwd=root, env=environment, capture_output=True, check=False)
    assert again.returncode == 0, again.stderr
    assert (folder / "back.wav").read_bytes() == (tmp_path / "signed.wav").read_bytes()
