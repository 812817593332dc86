"""Every package that exports names lazily exports what it says, and imports nothing before."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

PACKAGES = (
    "provenance",
    "provenance.ledger",
    "provenance.ledger.evm",
    "provenance.store",
    "cloak",
    "cloak.detectors",
    "synth",
    "synth.detect",
    "synth.extraction",
    "synth.lipsync",
    "synth.measure",
    "synth.swap",
)


@pytest.mark.parametrize("name", PACKAGES)
def test_every_exported_name_is_there(name: str) -> None:
    package = import_module(name)
    assert package.__all__, name
    for one in package.__all__:
        assert getattr(package, one) is not None and one in dir(package)
    with pytest.raises(AttributeError, match="no attribute 'never'"):
        _ = package.never


def test_importing_the_packages_imports_nothing_heavy() -> None:
    heavy = ("torch", "web3", "cv2", "c2pa", "eth_account", "av", "typer")
    code = f"import sys, {', '.join(PACKAGES)}; print([one for one in {heavy!r} if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
