"""Signing by another program, so that the key can stay in an HSM, a smart card or a KMS.

The program is started without a shell for every signature. It is handed the bytes to sign on standard input,
hashes and signs them, and writes the signature to standard output: raw ``r || s`` for ECDSA, 64 bytes for
Ed25519; DER, as OpenSSL writes it, is understood too. Exit status 0 means success; what it writes to standard
error is shown when it fails.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from provenance.errors import IdentityError, TamperedError
from provenance.identity.certificates import printable, to_der
from provenance.record import verify_signature

TIMEOUT_S = 120.0
_MAX_OUTPUT = 4096
_COMPONENT = {"es256": 32, "es384": 48}


def external_signer(
    command: Sequence[str], leaf: x509.Certificate, algorithm: str, *, timeout_s: float = TIMEOUT_S
) -> Callable[[bytes], bytes]:
    """A function that signs through ``command``; each signature is checked against ``leaf`` before use.

    Args:
        command: program and arguments, as a list; no shell reads it.
        timeout_s: after that the program is ended (a person may have to touch a token).

    The returned function raises IdentityError when the program is missing, fails, takes too long, or when its
    signature is not one by the certificate's key.
    """
    arguments = [str(part) for part in command]

    def sign(data: bytes) -> bytes:
        return _raw(_run(arguments, data, timeout_s), algorithm)

    return _checked(sign, arguments[0], leaf, algorithm)


def remote_signer(
    where: Mapping[str, Any], leaf: x509.Certificate, algorithm: str, pin: str | None
) -> Callable[[bytes], bytes]:
    """A function that signs with a key kept elsewhere; each signature is checked against ``leaf`` before use.

    Args:
        where: ``command``: program and arguments; or ``uri``: a PKCS#11 URI.
        pin: opens a PKCS#11 token; None where the key needs none.
    """
    if "uri" not in where:
        return external_signer(where["command"], leaf, algorithm)
    from provenance.identity.pkcs11 import TokenKey

    return _checked(TokenKey.parse(where["uri"]).signer(algorithm, pin), "the token", leaf, algorithm)


def _checked(
    sign: Callable[[bytes], bytes], who: str, leaf: x509.Certificate, algorithm: str
) -> Callable[[bytes], bytes]:
    def checked(data: bytes) -> bytes:
        signature = sign(data)
        try:
            verify_signature(to_der(leaf), algorithm, signature, data)
        except TamperedError as error:
            raise IdentityError(
                f"{who} returned {len(signature)} bytes that are no {algorithm} signature by the "
                "certificate's key",
                hint="the signer must hash its input itself, and its key must be the certificate's",
            ) from error
        return signature

    return checked


def _run(arguments: list[str], data: bytes, timeout_s: float) -> bytes:
    try:
        done = subprocess.run(arguments, input=data, capture_output=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise IdentityError(f"the external signer {arguments[0]} took over {timeout_s:.0f} s") from error
    except OSError as error:
        raise IdentityError(
            f"the external signer {arguments[0]} cannot be started: {error.strerror or error}",
            hint="give the program's full path",
        ) from error
    if done.returncode != 0:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"]
        said = printable(lines[-1], 200)
        raise IdentityError(
            f"the external signer {arguments[0]} failed (exit status {done.returncode}): {said}"
        )
    if len(done.stdout) > _MAX_OUTPUT:
        raise IdentityError(f"the external signer {arguments[0]} returned {len(done.stdout)} bytes")
    return done.stdout


def _raw(signature: bytes, algorithm: str) -> bytes:
    """Raw form of an ECDSA signature that may be DER."""
    size = _COMPONENT.get(algorithm)
    if size is None or len(signature) == 2 * size:
        return signature
    try:
        r, s = decode_dss_signature(signature)
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    except (ValueError, OverflowError):
        return signature
