"""``veilmark cloak --reversible``, ``uncloak`` and ``grant``: real cloaks, two machines, and who is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.cli.conftest import Run
from tests.support.video_clips import panned, write_clip

#: One step within the smallest budget hides no clear face: the command ends with 7.
QUICK = ("--detectors", "centerface", "--judges", "none", "--steps", "1", "--strength", "low")


@dataclass
class Machine:
    """The command with a home of its own."""

    home: Path

    def __call__(self, *args: object, **environment: str) -> Run:
        import cli

        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("VEILMARK_HOME", str(self.home))
            for name, value in environment.items():
                patch.setenv(name, value)
            result = CliRunner().invoke(cli.app, [str(arg) for arg in args])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Run(result.exit_code, result.stdout, result.stderr)

    @property
    def key(self) -> str:
        return self("identity", "show", "--encryption-key").out.strip()


def new_machine(home: Path, name: str) -> Machine:
    machine = Machine(home)
    done = machine("init", "--name", name)
    assert done.code == 0, done.err
    return machine


@dataclass
class Scene:
    """Olive's machine, Anna's, and a portrait that Olive signed and cloaked for herself."""

    olive: Machine
    anna: Machine
    signed: Path
    cloaked: Path
    sealed: str


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, portraits_once: np.ndarray) -> Scene:
    folder = tmp_path_factory.mktemp("reversible")
    olive, anna = new_machine(folder / "olive", "Olive"), new_machine(folder / "anna", "Anna")
    Image.fromarray(portraits_once).save(folder / "portrait.jpg", quality=95)
    assert olive("sign", folder / "portrait.jpg", "-o", folder / "signed.jpg").code == 0
    done = olive(
        "cloak", folder / "signed.jpg", "-o", folder / "cloaked.jpg", "--reversible", *QUICK, "--json"
    )
    assert done.code == 7, done.err
    sealed = done.json[0]["signed"]["record"]["extra"]["sealed"]["cid"]
    return Scene(olive, anna, folder / "signed.jpg", folder / "cloaked.jpg", sealed)


@pytest.fixture(scope="module")
def portraits_once() -> np.ndarray:
    import skimage.data

    return np.asarray(skimage.data.astronaut())[:320, 60:380]


def test_cloak_says_where_the_original_is_and_uncloak_brings_it_back(scene: Scene, tmp_path: Path) -> None:
    assert scene.olive("verify", scene.cloaked).code == 0
    done = scene.olive("uncloak", scene.cloaked, "-o", tmp_path / "back.jpg")
    assert done.code == 0 and "signed by Olive" in done.out, done.err
    assert (tmp_path / "back.jpg").read_bytes() == scene.signed.read_bytes()
    assert scene.olive("verify", tmp_path / "back.jpg").code == 0
    data = scene.olive("uncloak", scene.cloaked, "-o", tmp_path / "b.jpg", "--json").json[0]
    assert data["schema"] == "veilmark.uncloaked/1" and data["trusted"] is True
    assert data["sha256"] == hashlib.sha256(scene.signed.read_bytes()).hexdigest()
    assert scene.olive("uncloak", scene.cloaked, "-o", tmp_path / "b.jpg").code == 2, "it exists"
    assert scene.olive("uncloak", scene.cloaked, "-o", tmp_path).code == 2, "it is a folder"
    assert scene.olive("uncloak", scene.cloaked, "-o", tmp_path / "b.jpg", "--force").code == 0


def test_a_colleague_is_granted_access(scene: Scene, tmp_path: Path) -> None:
    output = tmp_path / "anna.jpg"
    refused = scene.anna("uncloak", scene.cloaked, "-o", output)
    assert refused.code == 4 and "no grant" in refused.err and "hint: " in refused.err
    (tmp_path / "anna.key").write_text(f"# Anna at the session\n{scene.anna.key}\n")
    before = scene.cloaked.read_bytes()
    done = scene.olive(
        "grant",
        scene.cloaked,
        "--to",
        tmp_path / "anna.key",
        "-o",
        tmp_path / "a.grant",
        "--car",
        tmp_path / "a.car",
    )
    assert done.code == 0 and "cannot be taken back" in done.err, done.err
    assert scene.cloaked.read_bytes() == before
    lost = scene.anna("uncloak", scene.cloaked, "-o", output, "--grant", tmp_path / "a.grant")
    assert lost.code == 3 and "not in the store" in lost.err and "store import" in lost.err
    assert not output.exists()
    assert scene.anna("store", "import", tmp_path / "a.car").code == 0
    done = scene.anna("uncloak", scene.cloaked, "-o", output, "--grant", tmp_path / "a.grant")
    assert done.code == 0 and "claimed name" in done.out, done.err
    assert output.read_bytes() == scene.signed.read_bytes()
    assert scene.anna("uncloak", scene.cloaked, "-o", tmp_path / "again.jpg").code == 0, (
        "the CAR held the grant"
    )
    data = scene.olive("grant", scene.cloaked, "--to", scene.anna.key, "--json").json[0]
    assert data["schema"] == "veilmark.granted/1" and data["sealed"] == scene.sealed
    assert len(data["recipients"]) == 1 and data["output"] is None


def test_a_daemon_that_is_not_there_is_said_plainly(scene: Scene, tmp_path: Path) -> None:
    pytest.importorskip("ipfshttpclient", reason="needs the extra ipfs")
    scene.olive("grant", scene.cloaked, "--to", scene.anna.key, "-o", tmp_path / "a.grant")
    lonely = new_machine(tmp_path / "lonely", "Lonely")
    done = lonely(
        "uncloak", scene.cloaked, "-o", tmp_path / "out.jpg", "--grant", tmp_path / "a.grant",
        "--key", scene.anna.home / "identities" / "default" / "encryption.key",
        "--ipfs", "/ip4/127.0.0.1/tcp/9/http",
    )  # fmt: skip
    assert done.code == 3 and "no IPFS daemon answers" in done.err, done.err
    assert not (tmp_path / "out.jpg").exists()


def test_a_key_file_opens_without_any_identity(scene: Scene, tmp_path: Path) -> None:
    stranger = Machine(tmp_path / "nobody")
    key = scene.olive.home / "identities" / "default" / "encryption.key"
    bare = stranger("uncloak", scene.cloaked, "-o", tmp_path / "out.jpg")
    assert bare.code == 2 and "veilmark init" in bare.err
    scene.olive(
        "grant",
        scene.cloaked,
        "--to",
        scene.olive.key,
        "-o",
        tmp_path / "o.grant",
        "--car",
        tmp_path / "o.car",
    )
    assert stranger("store", "import", tmp_path / "o.car").code == 0
    done = stranger("uncloak", scene.cloaked, "-o", tmp_path / "out.jpg", "--key", key)
    assert done.code == 0, done.err
    assert (tmp_path / "out.jpg").read_bytes() == scene.signed.read_bytes()
    for wrong, why in (
        (scene.anna.home / "identities/default/encryption.key", 4),
        (key.with_name("leaf.key"), 2),
    ):
        done = stranger("uncloak", scene.cloaked, "-o", tmp_path / "never.jpg", "--key", wrong)
        assert done.code == why and "hint: " in done.err, done.err
    done = stranger(
        "uncloak", scene.cloaked, "-o", tmp_path / "never.jpg", "--key", key, "--identity", "default"
    )
    assert done.code == 2
    assert not (tmp_path / "never.jpg").exists()


def test_altered_and_foreign_things_are_refused(scene: Scene, tmp_path: Path) -> None:
    data = bytearray(scene.cloaked.read_bytes())
    data[-300] ^= 1
    (tmp_path / "edited.jpg").write_bytes(data)
    done = scene.olive("uncloak", tmp_path / "edited.jpg", "-o", tmp_path / "never.jpg")
    assert done.code == 1 and "altered" in done.err and "hint: " in done.err
    scene.olive("grant", scene.cloaked, "--to", scene.anna.key, "-o", tmp_path / "a.grant")
    grant = json.loads((tmp_path / "a.grant").read_bytes())
    (tmp_path / "altered.grant").write_text(json.dumps({**grant, "time": "2020-01-01T00:00:00Z"}))
    (tmp_path / "litter.grant").write_bytes(b"\x00\xff" * 40)
    for name, code in (("altered", 1), ("litter", 3), ("missing", 2)):
        done = scene.anna(
            "uncloak", scene.cloaked, "-o", tmp_path / "never.jpg", "--grant", tmp_path / f"{name}.grant"
        )
        assert done.code == code and "hint: " in done.err, (name, done.err)
    done = scene.olive("uncloak", scene.signed, "-o", tmp_path / "never.jpg")
    assert done.code == 4 and "--reversible" in done.err
    done = scene.olive("grant", scene.cloaked, "--to", scene.anna.key[:-1])
    assert done.code == 2 and "hint: " in done.err
    assert not (tmp_path / "never.jpg").exists()


def test_what_cannot_be_sealed_is_refused_before_the_work(scene: Scene, tmp_path: Path) -> None:
    unsigned = scene.signed.with_name("portrait.jpg")
    done = scene.olive("cloak", unsigned, "-o", tmp_path / "never.jpg", "--reversible", *QUICK)
    assert done.code == 2 and "veilmark sign" in done.err
    done = scene.olive(
        "cloak", scene.signed, "-o", tmp_path / "never.jpg", "--reversible", "--no-sign", *QUICK
    )
    assert done.code == 2 and "--no-sign" in done.err
    done = scene.olive("cloak", scene.signed, "-o", tmp_path / "never.jpg", "--for", scene.anna.key, *QUICK)
    assert done.code == 2 and "--reversible" in done.err
    done = scene.olive(
        "cloak", scene.signed, "-o", tmp_path / "never.jpg", "--reversible", "--for", "x", *QUICK
    )
    assert done.code == 2 and "encryption key" in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_passphrase_guards_the_encryption_key_too(scene: Scene, tmp_path: Path) -> None:
    secret, machine = "a few good words", Machine(tmp_path / "guarded")
    assert machine("init", "--name", "Guarded", VEILMARK_PASSPHRASE=secret).code == 0
    key = machine("identity", "show", "--encryption-key")
    assert key.code == 0 and key.out.startswith("veilmark-x25519:"), "the public half needs none"
    scene.olive("grant", scene.cloaked, "--to", key.out.strip(), "--car", tmp_path / "g.car")
    assert machine("store", "import", tmp_path / "g.car").code == 0
    for given, code in (
        ({}, 2),
        ({"VEILMARK_PASSPHRASE": "not that one"}, 2),
        ({"VEILMARK_PASSPHRASE": secret}, 0),
    ):
        done = machine("uncloak", scene.cloaked, "-o", tmp_path / "out.jpg", **given)
        assert done.code == code, done.err
        assert (tmp_path / "out.jpg").exists() is (code == 0)


def test_the_identity_is_shown_with_its_encryption_key(scene: Scene) -> None:
    shown = scene.olive("identity", "show", "--json").json[0]
    assert len(shown["encryption_key_id"]) == 64 != shown["key_id"]
    assert shown["encryption_key_id"] in scene.olive("identity", "show").out


def test_a_film_comes_back_for_its_readers(
    scene: Scene, portraits: dict[str, np.ndarray], tmp_path: Path
) -> None:
    film = write_clip(tmp_path / "clip.mp4", panned(portraits["astronaut"], 4), sound=True)
    assert scene.olive("sign", film, "-o", tmp_path / "signed.mp4").code == 0
    done = scene.olive(
        "cloak", tmp_path / "signed.mp4", "-o", tmp_path / "out.mp4", "--reversible", "--for", scene.anna.key,
        "--detectors", "centerface", "--strength", "high", "--steps", "20",
    )  # fmt: skip
    assert done.code == 0 and "the original is sealed as" in done.out, done.err
    assert scene.olive("uncloak", tmp_path / "out.mp4", "-o", tmp_path / "back.mp4").code == 0
    assert (tmp_path / "back.mp4").read_bytes() == (tmp_path / "signed.mp4").read_bytes()
    assert scene.olive("verify", tmp_path / "back.mp4").code == 0
    # Anna was named when it was cloaked: the store's objects are all that she needs
    (sealed,) = {line.split()[5] for line in done.out.splitlines() if "is sealed as" in line}
    cids = [path.name for path in (scene.olive.home / "grants" / sealed).iterdir()]
    assert scene.olive("store", "export", tmp_path / "film.car", sealed, *cids).code == 0
    assert scene.anna("store", "import", tmp_path / "film.car").code == 0
    assert scene.anna("uncloak", tmp_path / "out.mp4", "-o", tmp_path / "anna.mp4").code == 0
    assert (tmp_path / "anna.mp4").read_bytes() == (tmp_path / "signed.mp4").read_bytes()
    unsigned = scene.olive("cloak", film, "-o", tmp_path / "never.mp4", "--reversible", *QUICK)
    assert unsigned.code == 2 and "veilmark sign" in unsigned.err


def test_the_commands_explain_themselves(veilmark: Callable[..., Run]) -> None:
    for command in ("uncloak", "grant"):
        assert "cannot be taken back" in veilmark("grant", "--help").out or command == "uncloak"
        assert veilmark(command, "--help").code == 0
        assert veilmark(command).code == 2
