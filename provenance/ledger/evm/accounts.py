"""Accounts that pay for transactions: encrypted keystore files (Web3 Secret Storage v3, scrypt).

A private key is never taken from a command line or an environment variable, and never written in the clear.
"""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount

from provenance import strict_json
from provenance.errors import IdentityError, MissingPathError
from provenance.home import Home
from provenance.ledger.evm.recursion import restore_recursion_limit
from provenance.media import files as atomic

restore_recursion_limit()

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MAX_KEYSTORE = 64 * 1024
_SCRYPT_ROUNDS = 2**18


def accounts_folder(home: Home) -> Path:
    return home.data / "accounts"


def create_account(home: Home, name: str, passphrase: str, *, rounds: int = _SCRYPT_ROUNDS) -> str:
    """Make a new key, encrypt it, write it as ``data/accounts/NAME.json`` (mode 0600); its address.

    Args:
        rounds: scrypt's cost parameter n, a power of two; the default takes about a second.

    Raises:
        IdentityError: the name or the passphrase is unusable.
        OutputExistsError: there is such an account already; it is never overwritten.
    """
    return _store(home, name, Account.create(), passphrase, rounds)


def import_account(home: Home, name: str, keystore: Path, passphrase: str) -> str:
    """Take over a keystore file of another wallet, under the same passphrase; its address.

    Raises:
        IdentityError: not a keystore, or the passphrase is wrong.
        OutputExistsError: there is such an account already.
        MissingPathError: no such file.
    """
    account = _decrypt(keystore, passphrase)
    return _store(home, name, account, passphrase, _SCRYPT_ROUNDS)


def load_account(home: Home, name: str, passphrase: str) -> LocalAccount:
    """Decrypt an account.

    Raises:
        MissingPathError: there is none of this name; the hint lists those there are.
        IdentityError: wrong passphrase, damaged, or readable by other users.
    """
    path = _path(home, name)
    if not path.exists():
        known = ", ".join(account for account, _ in list_accounts(home)) or "none yet"
        raise MissingPathError(
            f"no account {name!r} in {accounts_folder(home)}", hint=f"existing accounts: {known}"
        )
    if os.name != "nt" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise IdentityError(f"{path} can be read by other users", hint=f"run `chmod 600 {path}`")
    return _decrypt(path, passphrase)


def list_accounts(home: Home) -> list[tuple[str, str]]:
    """Names and addresses of the accounts; nothing is decrypted."""
    found = []
    for path in sorted(accounts_folder(home).glob("*.json")):
        address = _read(path).get("address")
        if isinstance(address, str) and re.fullmatch(r"(0x)?[0-9a-fA-F]{40}", address):
            found.append((path.stem, "0x" + address.lower().removeprefix("0x")))
    return found


def _store(home: Home, name: str, account: LocalAccount, passphrase: str, rounds: int) -> str:
    path = _path(home, name)
    if not passphrase:
        raise IdentityError(
            "an account needs a passphrase", hint="it encrypts the key that pays; choose a long one"
        )
    atomic.refuse_existing(path, False)
    accounts_folder(home).mkdir(parents=True, exist_ok=True, mode=0o700)
    keystore = Account.encrypt(account.key, passphrase, kdf="scrypt", iterations=rounds)
    atomic.write_bytes(path, json.dumps(keystore).encode(), force=False, mode=0o600)
    return str(account.address)


def _path(home: Home, name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise IdentityError(
            f"{name[:80]!r} cannot name an account", hint="use letters, digits, dots, dashes and underscores"
        )
    return accounts_folder(home) / f"{name}.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_KEYSTORE + 1)
        parsed = strict_json.loads(data) if len(data) <= _MAX_KEYSTORE else None
    except FileNotFoundError:
        raise MissingPathError(f"{path} does not exist") from None
    except (OSError, ValueError, RecursionError) as error:
        raise IdentityError(f"{path} cannot be read as a keystore: {error}") from error
    if not isinstance(parsed, dict):
        raise IdentityError(f"{path} is no keystore", hint="expected the JSON of Web3 Secret Storage, v3")
    return parsed


def _decrypt(path: Path, passphrase: str) -> LocalAccount:
    keystore = _read(path)
    _limit_cost(path, keystore)
    try:
        account: LocalAccount = Account.from_key(Account.decrypt(keystore, passphrase))
    except (ValueError, KeyError, TypeError, NotImplementedError) as error:
        wrong = "MAC mismatch" in str(error)
        raise IdentityError(
            f"{path} cannot be decrypted" + ("" if wrong else f": {str(error)[:120]}"),
            hint="the passphrase is wrong" if wrong else "is it a keystore file, version 3?",
        ) from error
    return account


def _limit_cost(path: Path, keystore: dict[str, Any]) -> None:
    """A made-up keystore must not take all memory or time."""
    crypto = keystore.get("crypto", keystore.get("Crypto"))
    parameters = crypto.get("kdfparams", {}) if isinstance(crypto, dict) else {}
    if not isinstance(parameters, dict):
        parameters = {}
    n, r, p, c = (parameters.get(key, 1) for key in ("n", "r", "p", "c"))
    if not all(isinstance(number, int) and number > 0 for number in (n, r, p, c)):
        raise IdentityError(f"{path} is no keystore", hint="its key derivation parameters are malformed")
    if 128 * n * r > 2**30 or p > 16 or c > 10_000_000:
        raise IdentityError(f"{path} asks for an unreasonable key derivation", hint="do not use this file")
