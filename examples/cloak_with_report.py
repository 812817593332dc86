"""Cloak a picture, and say which face detectors it hides from::

python examples/cloak_with_report.py PICTURE CLOAKED [--detectors mtcnn,centerface] [--steps 60]
"""

import argparse
from pathlib import Path

import veilmark

parser = argparse.ArgumentParser(description="Cloak a picture, and say which face detectors it hides from.")
parser.add_argument("picture", type=Path)
parser.add_argument("cloaked", type=Path)
parser.add_argument("--detectors", help="comma-separated; default: all that are installed")
parser.add_argument("--steps", type=int, default=60)
arguments = parser.parse_args()
names = arguments.detectors.split(",") if arguments.detectors else None

with veilmark.open() as v:
    v.initialize("Ada Photographer")
    done = v.cloak(
        arguments.picture,
        arguments.cloaked,
        strength="mid",
        detectors=names,
        judges=names,
        steps=arguments.steps,
    )
    print(f"{done.output}: {'hidden' if done.success else 'still found by some'}")
    if done.report:
        for line in done.report.lines():
            print(f"  {line}")
    verdict = v.verify(done.output)
    print(f"made from {verdict.ingredients[0]['title']}: {verdict.state.value}, {verdict.relation}")
