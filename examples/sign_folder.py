"""Sign every picture of a folder into another folder::

python examples/sign_folder.py PICTURES SIGNED --name "Ada Photographer"
"""

import argparse
from pathlib import Path

import veilmark

parser = argparse.ArgumentParser(description="Sign every picture of a folder into another folder.")
parser.add_argument("pictures", type=Path)
parser.add_argument("signed", type=Path)
parser.add_argument("--name", default="Ada Photographer", help="who signs, as shown to others")
arguments = parser.parse_args()

with veilmark.open() as v:
    v.initialize(arguments.name)  # makes an identity and a ledger, once
    for path in sorted(arguments.pictures.iterdir()):
        try:
            done = v.sign(path, arguments.signed / path.name, author=arguments.name)
        except veilmark.MediaError as error:
            print(f"left out {path.name}: {error}")
        except veilmark.OutputExistsError:
            print(f"signed before: {path.name}")
        else:
            print(f"{done.output}: ledger entry {done.index}, receipt {done.receipt_path}")
