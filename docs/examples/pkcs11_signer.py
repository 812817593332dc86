#!/usr/bin/env python3
"""An external signer for veilmark: signs with a key that stays in a PKCS#11 token (HSM, smart card, SoftHSM).

Standard input: the bytes to sign. Standard output: the raw signature (r || s). It needs OpenSC's
`pkcs11-tool` and the token's module; the PIN comes from the environment, so that it is not in the process
list.

    export VEILMARK_PKCS11_PIN=1234
    veilmark identity import hsm --chain chain.pem \\
        --signer "python docs/examples/pkcs11_signer.py --module /usr/lib/softhsm/libsofthsm2.so \\
                  --token veilmark --key signing"

The private key never leaves the token. The token is asked for plain ECDSA over a hash that is made here,
because that is what every token offers.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--module", required=True, help="PKCS#11 module, such as libsofthsm2.so")
    parser.add_argument("--token", required=True, help="token label")
    parser.add_argument("--key", required=True, help="label of the private key")
    parser.add_argument("--hash", default="sha256", choices=["sha256", "sha384"], help="sha384 for P-384")
    options = parser.parse_args()
    if "VEILMARK_PKCS11_PIN" not in os.environ:
        print("VEILMARK_PKCS11_PIN is not set", file=sys.stderr)
        return 1
    digest = hashlib.new(options.hash, sys.stdin.buffer.read()).digest()
    with tempfile.TemporaryDirectory() as folder:
        to_sign, signature = Path(folder) / "digest", Path(folder) / "signature"
        to_sign.write_bytes(digest)
        command = ["pkcs11-tool", "--module", options.module, "--token-label", options.token]
        command += ["--login", "--pin", "env:VEILMARK_PKCS11_PIN", "--sign", "--mechanism", "ECDSA"]
        command += ["--signature-format", "rs", "--label", options.key]
        command += ["--input-file", str(to_sign), "--output-file", str(signature)]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode != 0:
            sys.stderr.buffer.write(done.stderr)
            return 1
        sys.stdout.buffer.write(signature.read_bytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
