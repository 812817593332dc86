"""The Dockerfile: what it says, and its RUN lines in a fresh environment (no container engine is needed)."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass
class Stage:
    """One target: what it begins with, and its instructions in order."""

    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def values(self, instruction: str) -> list[str]:
        return [value for name, value in self.steps if name == instruction]


def stages() -> dict[str, Stage]:
    """The stages of the Dockerfile by name."""
    found: dict[str, Stage] = {}
    for line in (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, value = line.split(maxsplit=1)
        if name == "FROM":
            base, _, stage = value.partition(" AS ")
            found[stage] = Stage(base)
        else:
            found[list(found)[-1]].steps.append((name, value))
    return found


def test_the_targets() -> None:
    found = stages()
    assert list(found) == ["build", "base", "team", "full"]
    assert found["base"].base.endswith("-slim") and found["full"].base == found["team"].base == "base"
    assert found["base"].values("ENTRYPOINT") == ['["veilmark"]']
    for name in ("base", "team", "full"):
        assert found[name].values("USER")[-1] == "1000:1000"  # nobody ends as root
    assert "VEILMARK_HOME=/data" in found["base"].values("ENV")[1].split()


def test_what_is_copied_exists() -> None:
    for stage in stages().values():
        for value in stage.values("COPY"):
            sources = shlex.split(value)[:-1]
            if not sources[0].startswith("--from="):
                assert [one for one in sources if not (ROOT / one).exists()] == []


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Container:
    return Container(tmp_path_factory.mktemp("container"))


class Container:
    """A folder that stands for the file system, and a fresh virtual environment that stands for the image's Python."""

    def __init__(self, root: Path) -> None:
        self.root = root
        subprocess.run([sys.executable, "-m", "venv", root / "python"], check=True, timeout=300)
        self.environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("PYTHON", "VEILMARK"))
            },
            "PATH": f"{root / 'python/bin'}{os.pathsep}{os.environ['PATH']}",
        }
        self.folder = root
        (root / "media").mkdir()  # as in the image

    def placed(self, text: str) -> str:
        """``text`` with the image's folders below this one's root."""
        for folder in ("/wheels", "/build", "/data", "/media", "/src"):
            text = text.replace(f" {folder}", f" {self.root}{folder}").replace(
                f"={folder}", f"={self.root}{folder}"
            )
        return text

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euc", self.placed(f" {command}")],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=1800,
            check=False,
        )

    def build(self, stage: Stage) -> None:
        for name, value in stage.steps:
            if name == "ENV":
                self.environment.update(one.split("=", 1) for one in shlex.split(self.placed(f" {value}")))
            elif name == "WORKDIR":
                self.folder = self.root / value.lstrip("/")
                self.folder.mkdir(exist_ok=True)
            elif name == "COPY":
                self._copy(shlex.split(value))
            elif name == "RUN":
                done = self.run(value)
                assert done.returncode == 0, f"{value}\n{done.stdout}{done.stderr}"

    def _copy(self, words: list[str]) -> None:
        if words[0].startswith("--from="):
            return  # all stages share this root
        target = self.folder if words[-1] == "." else self.root / words[-1].strip("/")
        target.mkdir(exist_ok=True, parents=True)
        for word in words[:-1]:
            if word == ".":
                listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
                names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
                for one in names.strip("\0").split("\0"):
                    if (ROOT / one).is_file():
                        (target / one).parent.mkdir(parents=True, exist_ok=True)
                        shutil.copy(ROOT / one, target / one)
            else:
                shutil.copy(ROOT / word, target)


@pytest.mark.slow
def test_base_signs_and_verifies(container: Container) -> None:
    container.build(stages()["build"])
    container.build(stages()["base"])
    from PIL import Image

    Image.linear_gradient("L").convert("RGB").save(container.folder / "photo.jpg")
    for command in ("veilmark init", "veilmark sign photo.jpg -o signed.jpg", "veilmark verify signed.jpg"):
        done = container.run(command)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    assert (container.root / "data/ledger.sqlite3").exists()
    assert "torch" not in container.run("python -m pip list").stdout


@pytest.mark.slow
def test_full_cloaks(container: Container) -> None:
    index = "https://download.pytorch.org/whl/cpu/torch/"
    try:
        urllib.request.urlopen(index, timeout=20).close()
    except (urllib.error.URLError, TimeoutError):
        pytest.skip(f"{index} cannot be reached")
    if not (container.root / "wheels").exists():
        container.build(stages()["build"])
        container.build(stages()["base"])
    container.build(stages()["full"])
    from PIL import Image
    from skimage import data

    Image.fromarray(data.astronaut()).save(container.folder / "face.jpg", quality=95)
    container.run("veilmark init")
    done = container.run("veilmark cloak face.jpg -o cloaked.jpg --detectors mtcnn --judges none")
    assert done.returncode == 0, done.stdout + done.stderr
