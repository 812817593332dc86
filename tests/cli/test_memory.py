"""In a batch, memory that was freed is used again."""

from __future__ import annotations

import os
import sys

import pytest

from tests.cli.conftest import python

_PROBE = """
import resource
import numpy as np
from provenance.commands.support.memory import keep_memory
done = keep_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(5_000_000, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(done, faults())
"""


def faults(**environment: str) -> tuple[bool, int]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = python("-c", _PROBE, env={**inherited, **environment})
    assert done.returncode == 0, done.stderr
    made, count = done.stdout.split()
    return made == "True", int(count)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc alone is told")
def test_memory_is_kept_unless_the_environment_says_otherwise() -> None:
    made, few = faults()
    if not made:
        pytest.skip("another C library than glibc")
    told, many = faults(MALLOC_TRIM_THRESHOLD_="100000", MALLOC_MMAP_THRESHOLD_="100000")
    assert not told
    assert few < 100 < 1000 < many
