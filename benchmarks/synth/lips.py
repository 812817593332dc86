"""What the detector of lip-syncs is worth, on people it never saw.

::

    python -m synth.detect.training.lips FOOTAGE... --lipsyncs FOLDER -o WEIGHTS
    python benchmarks/synth/lips.py WEIGHTS/lips-taught.json

The first command leaves each clip's log-odds by a model that saw nothing of its person: so lip-syncs of one model are
judged by a detector that knows lip-syncs of the other alone. This one prints them, the area under the curve with a 95 %
interval by a bootstrap over people, how many real clips are called fake, and the control: the same within each person
who has lip-syncs, where only the mouth differs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.synth.auc_interval import auc_interval
from synth.detect.calibrate import auc
from synth.detect.training.lips import LIPSYNC, MOVED, REAL


def report(rows: list[list[Any]]) -> dict[str, Any]:
    """Prints and returns the figures of ``held_out``: person, kind of clip, log-odds or None."""
    judged = [(person, kind, float(value)) for person, kind, value in rows if value is not None]
    print(f"{len(judged)} of {len(rows)} clips could be judged")
    for person in sorted({one[0] for one in judged}):
        seen = [
            f"{kind} "
            + " ".join(f"{value:.2f}" for whose, what, value in judged if (whose, what) == (person, kind))
            for kind in (*REAL, LIPSYNC)
            if any((whose, what) == (person, kind) for whose, what, _ in judged)
        ]
        print(f"  {person:<10} " + "; ".join(seen))
    found: dict[str, Any] = {}
    for kind in (LIPSYNC, MOVED):
        fake = [(person, value) for person, what, value in judged if what == kind]
        for name, against in (("all real clips", REAL), ("as filmed", ("filmed",))):
            real = [(person, value) for person, what, value in judged if what in against]
            area = auc([value for _, value in real], [value for _, value in fake])
            reach = auc_interval(real, fake)
            found[f"{kind} against {name}"] = {
                "area": area,
                "interval": reach,
                "clips": [len(fake), len(real)],
            }
            shown = "" if reach is None else f" ({reach[0]:.2f} to {reach[1]:.2f})"
            print(f"{kind} against {name}: {area:.3f}{shown}, {len(fake)} and {len(real)} clips")
        called = sum(value > 0 for _, value in fake)
        found[f"{kind} called fake"] = [called, len(fake)]
        print(f"  {called} of {len(fake)} above 0.5")
    for kind in REAL:
        values = [value for _, what, value in judged if what == kind]
        found[f"{kind} called fake"] = [sum(value > 0 for value in values), len(values)]
        print(f"real, {kind}: {found[f'{kind} called fake'][0]} of {len(real)} above 0.5")
    for person in sorted({whose for whose, what, _ in judged if what == LIPSYNC}):
        own = {
            fake: [
                value
                for whose, what, value in judged
                if whose == person and (what == LIPSYNC) == fake and what != MOVED
            ]
            for fake in (False, True)
        }
        found[f"within {person}"] = auc(own[False], own[True])
        print(f"within {person}: {found[f'within {person}']:.2f}")
    return found


if __name__ == "__main__":
    report(json.loads(Path(sys.argv[1]).read_bytes())["held_out"])
