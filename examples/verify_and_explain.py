"""Verify files and say why; needs no identity and no network::

python examples/verify_and_explain.py FILE...
"""

import argparse
from pathlib import Path

import veilmark

parser = argparse.ArgumentParser(description="Verify files and say why.")
parser.add_argument("files", type=Path, nargs="+")
worst = 0

with veilmark.open() as v:
    for path in parser.parse_args().files:
        try:
            verdict = v.verify(path)
        except veilmark.VeilmarkError as error:
            print(f"{path}: could not check: {error}\n  hint: {error.hint}")
            worst = max(worst, int(error.exit_code))
            continue
        print(f"{path}: {verdict.headline}")
        if verdict.signer:
            print(f"  signed by {verdict.signer.name} ({'trusted' if verdict.signer.trusted else 'a claim'})")
        for time in verdict.times:
            print(f"  {time.kind}: {time.value}")
        for check in verdict.failed:
            print(f"  failed: {check.name}: {check.detail}")
        for record in verdict.similar:
            print(
                f"  ledger entry {record.index} ({record.relation}, by {record.match}): {record.signer_name}"
            )
        worst = max(worst, int(verdict.exit_code))

raise SystemExit(worst)
