"""Measure what a cloak does to every installed face detector, and write a report::

python examples/measure_cloak.py PICTURE... --output REPORT
"""

import argparse
from pathlib import Path

import veilmark

parser = argparse.ArgumentParser(description="Measure a cloak on pictures, and write a report.")
parser.add_argument("pictures", type=Path, nargs="+")
parser.add_argument("--output", type=Path, required=True)
parser.add_argument("--detectors", help="that the cloak is made against; default: all that are installed")
parser.add_argument("--steps", type=int, default=60)
arguments = parser.parse_args()

with veilmark.open() as v:
    measured = v.measure(
        arguments.pictures,
        arguments.output,
        detectors=arguments.detectors.split(",") if arguments.detectors else None,
        steps=arguments.steps,
    )
    print(measured.report.headline)
    print(f"open {measured.page} in a browser; {measured.data.name} has every figure")
