"""``veilmark sign`` with several ingredients, as an update, with redactions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from provenance.manifest.read import read_manifest
from tests.cli.conftest import Run
from tests.support.conformance import offences
from tests.support.media_files import make_fragments


def test_several_ingredients_from_the_command_line(
    ready: Callable[..., Run], portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    hopper, astronaut = portrait_files["hopper"], portrait_files["astronaut"]
    odd = tmp_path / "layer:inputTo"
    odd.write_bytes(astronaut.read_bytes())
    out = tmp_path / "out.jpg"
    done = ready(
        *("sign", hopper, "-o", out, "--ingredient", astronaut, "--ingredient", f"{astronaut}:inputTo"),
        *("--ingredient", odd, "--ingredient", f"{hopper}:parentOf"),
    )
    assert done.code == 0, done.err
    report = read_manifest(out, "image/jpeg", anchors_pem=())
    assert report is not None and report.state == "valid"
    assert sorted((one["title"], one["relationship"]) for one in report.ingredients) == [
        ("astronaut.jpg", "componentOf"),
        ("astronaut.jpg", "inputTo"),
        ("hopper.jpg", "parentOf"),
        ("layer:inputTo", "componentOf"),
    ]
    assert offences(report.crjson()) == {}

    composite = tmp_path / "composite.jpg"
    assert ready("sign", hopper, "-o", composite, "--ingredient", astronaut).code == 0
    report = read_manifest(composite, "image/jpeg", anchors_pem=())
    assert report is not None and report.digital_source_type == "composite"
    gone = ready("sign", hopper, "-o", tmp_path / "x.jpg", "--ingredient", "none.jpg:inputTo")
    assert gone.code == 2 and "none.jpg does not exist" in gone.err


def test_update_and_redact_from_the_command_line(
    ready: Callable[..., Run], portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    photo = portrait_files["hopper"]
    first, out = tmp_path / "first.jpg", tmp_path / "out.jpg"
    assert ready("sign", photo, "-o", first, "--location", "48.1,11.5").code == 0
    done = ready("sign", first, "-o", out, "--update", "--redact", "c2pa.metadata", "--author", "Ann")
    assert done.code == 0, done.err
    assert b"GPSLatitude" not in out.read_bytes()
    seen = ready("verify", out, "--verbose")
    assert seen.code == 0 and "c2pa.metadata was taken out" in " ".join(seen.out.split())
    refused = ready("sign", photo, "-o", tmp_path / "x.jpg", "--update")
    assert refused.code == 2 and "update" in refused.err and not (tmp_path / "x.jpg").exists()


def test_addresses_of_several_manifests(
    ready: Callable[..., Run], portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    files, out = list(portrait_files.values()), tmp_path / "out put"
    one = ready("sign", *files, "-o", out, "--remote-url", "https://example.org/all.c2pa")
    assert one.code == 2 and "one address" in one.err and not out.exists()
    spaced = tmp_path / "my photo.jpg"
    spaced.write_bytes(files[0].read_bytes())
    done = ready("sign", spaced, files[1], "-o", out, "--remote-url", "https://example.org/m/")
    assert done.code == 0, done.err
    assert b"https://example.org/m/my%20photo.jpg.c2pa" in (out / "my photo.jpg").read_bytes()
    assert ready("verify", out / "my photo.jpg").code == 0, "the side-car is beside it"


def test_a_film_in_fragments(ready: Callable[..., Run], tmp_path: Path) -> None:
    film, out = tmp_path / "film", tmp_path / "out"
    film.mkdir()
    make_fragments(film)
    start, pattern = film / "init-stream0.m4s", f"{film}/chunk-*.m4s"
    done = ready("sign", start, "--fragments", pattern, "-o", out, "--json")
    assert done.code == 0, done.err
    assert done.json[0]["output"] == str(out / start.name)
    assert len(list(out.glob("chunk-*.m4s"))) == 6 and not list(out.glob(".*"))
    signed = out / start.name
    assert ready("verify", signed, "--fragments", f"{out}/chunk-*.m4s").code == 0
    assert ready("verify", signed).code == 3
    last = sorted(out.glob("chunk-*.m4s"))[-1]
    last.write_bytes(last.read_bytes()[:-1] + b"x")
    assert ready("verify", signed, "--fragments", f"{out}/chunk-*.m4s").code == 1
    assert ready("sign", start, "--fragments", pattern).code == 2
    assert ready("sign", start, "--fragments", f"{film}/none*.m4s", "-o", out).code == 2
