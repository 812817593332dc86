"""What a cloak achieves and costs: recall of attacked and left-out detectors, quality, seconds, memory.

::

    python benchmarks/cloak/cloak_image.py                                   # the two portraits at mid
    python benchmarks/cloak/cloak_image.py --pictures all --strengths low,mid,high --seeds 0,1,2
    python benchmarks/cloak/cloak_image.py --leave-out                       # each family left out in turn
    python benchmarks/cloak/cloak_image.py --counter                         # counter-measures
    python benchmarks/cloak/cloak_image.py --megapixel                       # seconds for a 1 MP portrait, all cores

Recall is the share, in percent, of the faces a detector found in the clean picture that it still finds, as
published (decoded JPEG 95) / after JPEG 75 / at half size. The control is noise of equal energy.

Runs without arguments.
"""

from __future__ import annotations

import argparse
import time

import cv2
import numpy as np
import torch

from benchmarks.cloak.cloak_common import (
    Subject,
    Tally,
    decoded,
    encoded,
    equal_energy,
    load_all,
    one_thread,
    peak_memory,
    pictures,
    portraits,
)
from cloak import CloakOptions, cloak_bytes, detectors
from provenance.errors import NoFaceError
from provenance.media.picture import open_picture


def cloaked(pixels: np.ndarray, strength: str, attacked: tuple[str, ...], seed: int, **more: object):  # type: ignore[no-untyped-def]
    """The decoded cloak, and its report."""
    options = CloakOptions(strength=strength, detectors=attacked, judges=(), seed=seed, **more)  # type: ignore[arg-type]
    result = cloak_bytes(open_picture(encoded(pixels)), options)
    return decoded(result.encoded), result.report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pictures", default="portraits")
    parser.add_argument("--strengths", default="mid")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--detectors", default="", help="attacked; default: every differentiable one")
    parser.add_argument("--decoys", type=int, default=0)
    parser.add_argument("--leave-out", nargs="?", const="each", help="a family, or each in turn")
    parser.add_argument("--counter", action="store_true")
    parser.add_argument("--megapixel", action="store_true")
    asked = parser.parse_args()
    if not asked.megapixel:
        one_thread()
    present = detectors.available()
    names = (
        tuple(asked.detectors.split(","))
        if asked.detectors
        else tuple(detectors.available(differentiable=True))
    )
    if asked.megapixel:
        megapixel(names, asked.strengths.split(","))
        return
    everyone = load_all(present)
    families = {detector.family for detector in load_all(names)}
    left_out = {None} if not asked.leave_out else families if asked.leave_out == "each" else {asked.leave_out}
    for family in sorted(left_out, key=str):
        attacked = tuple(name for name in names if detectors.info(name).family != family)
        for strength in asked.strengths.split(","):
            run(asked, everyone, attacked, strength, family)


def run(asked, everyone, attacked, strength, family) -> None:  # type: ignore[no-untyped-def]
    """One table: the attacked, the left-out family, and all others, cloaked and with the control."""
    tally, counters = Tally(), Tally()
    groups = {
        "attacked": [d for d in everyone if d.name in attacked],
        "left out": [d for d in everyone if d.family == family],
        "others": [d for d in everyone if d.name not in attacked and d.family != family],
    }
    qualities, seconds = [], []
    for name, pixels in pictures(asked.pictures).items():
        subject = Subject.of(pixels, everyone)
        for seed in map(int, asked.seeds.split(",")):
            started = time.process_time()
            try:
                result, report = cloaked(pixels, strength, attacked, seed, decoys=asked.decoys)
            except NoFaceError:
                print(f"{name}: no face")
                continue
            seconds.append(time.process_time() - started)
            plain = decoded(encoded(pixels))
            control = equal_energy(plain, result, seed)
            qualities.append(subject.worst_psnr(result))
            for group, members in groups.items():
                subject.count(tally, group, result, members)
                subject.count(tally, f"{group}, control", control, members)
                if asked.counter:
                    subject.count(counters, group, result, members, counter=True)
                    subject.count(counters, f"{group}, control", control, members, counter=True)
            after = {one.name: one.after["published"] for one in report.detectors}
            print(
                f"  {name} seed {seed}: {seconds[-1]:.0f} CPU s, {report.steps} steps, face PSNR "
                f"{qualities[-1]:.1f} dB, still found by attacked: {sum(after.values())}",
                flush=True,
            )
    title = f"{strength}, attacked: {', '.join(attacked)}" + (f", left out: {family}" if family else "")
    print(f"\n{title}\n{'':24s} published / jpeg75 / half (% still found)")
    for group, members in groups.items():
        if members:
            print(
                f"{group:24s} {tally.row(group)}\n{group + ', control':24s} {tally.row(group + ', control')}"
            )
    if asked.counter:
        kinds = list(dict.fromkeys(condition for _, condition in counters.found))
        print(f"{'counter-measures':24s} {' / '.join(kinds)}")
        for group, members in groups.items():
            if members:
                print(f"{group:24s} {counters.row(group, kinds)}")
                print(f"{group + ', control':24s} {counters.row(group + ', control', kinds)}")
    if seconds:
        print(
            f"face PSNR: lowest {min(qualities):.1f}, mean {np.mean(qualities):.1f} dB; CPU s a picture: "
            f"{np.mean(seconds):.0f}; peak memory {peak_memory():.0f} MB\n",
            flush=True,
        )


def megapixel(names: tuple[str, ...], strengths: list[str]) -> None:
    """Seconds and memory for the portrait of the astronaut at 1024 x 1024 pixels."""
    large = np.asarray(cv2.resize(portraits()["astronaut"], (1024, 1024), interpolation=cv2.INTER_CUBIC))
    for strength in strengths:
        wall, cpu = time.perf_counter(), time.process_time()
        _, report = cloaked(large, strength, names, 0)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(
            f"1 MP portrait, {strength}, {len(names)} detectors: {wall:.0f} s on {torch.get_num_threads()} threads "
            f"({cpu:.0f} CPU s), "
            f"{report.steps} steps, success: {report.success}, peak memory {peak_memory():.0f} MB",
            flush=True,
        )


if __name__ == "__main__":
    main()
