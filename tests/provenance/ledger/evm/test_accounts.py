"""Keystores: encrypted, private, never overwritten."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from eth_account import Account

from provenance.errors import IdentityError, MissingPathError, OutputExistsError, UsageError
from provenance.home import Home
from provenance.ledger.evm.accounts import (
    accounts_folder,
    create_account,
    import_account,
    list_accounts,
    load_account,
)
from provenance.ledger.evm.networks import find_network, load_networks

QUICK = 2**10


def test_create_and_load(home: Home) -> None:
    address = create_account(home, "payer", "correct horse", rounds=QUICK)
    assert load_account(home, "payer", "correct horse").address == address
    path = accounts_folder(home) / "payer.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(accounts_folder(home).stat().st_mode) == 0o700
    assert list_accounts(home) == [("payer", address.lower())]
    key = load_account(home, "payer", "correct horse").key.hex()
    assert key not in path.read_text()


def test_the_default_cost_is_the_standards(home: Home) -> None:
    create_account(home, "payer", "correct horse")
    keystore = json.loads((accounts_folder(home) / "payer.json").read_text())
    assert keystore["version"] == 3
    assert keystore["crypto"]["kdfparams"]["n"] == 2**18


def test_the_wrong_passphrase(home: Home) -> None:
    create_account(home, "payer", "correct horse", rounds=QUICK)
    with pytest.raises(IdentityError, match="cannot be decrypted") as caught:
        load_account(home, "payer", "battery staple")
    assert caught.value.hint == "the passphrase is wrong"


def test_an_empty_passphrase_is_refused(home: Home) -> None:
    with pytest.raises(IdentityError, match="needs a passphrase"):
        create_account(home, "payer", "")


def test_an_account_is_never_overwritten(home: Home) -> None:
    address = create_account(home, "payer", "one", rounds=QUICK)
    with pytest.raises(OutputExistsError):
        create_account(home, "payer", "two", rounds=QUICK)
    assert load_account(home, "payer", "one").address == address


def test_an_unknown_account_names_the_known_ones(home: Home) -> None:
    create_account(home, "payer", "one", rounds=QUICK)
    with pytest.raises(MissingPathError, match="no account 'prayer'") as caught:
        load_account(home, "prayer", "one")
    assert "payer" in caught.value.hint


@pytest.mark.parametrize("name", ["", "..", "a/b", "../x", ".hidden", "x" * 65, "a\nb"])
def test_names_stay_in_their_folder(home: Home, name: str) -> None:
    with pytest.raises(IdentityError, match="cannot name an account"):
        create_account(home, name, "one", rounds=QUICK)


def test_a_readable_keystore_is_refused(home: Home) -> None:
    create_account(home, "payer", "one", rounds=QUICK)
    (accounts_folder(home) / "payer.json").chmod(0o644)
    with pytest.raises(IdentityError, match="read by other users") as caught:
        load_account(home, "payer", "one")
    assert "chmod 600" in caught.value.hint


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"version": 3}',
        "[" * 100_000,
        "x" * 100_000,
        '{"version": 3, "crypto": {"kdf": "scrypt", "kdfparams": {"n": 1099511627776, "r": 8, "p": 1}}}',
        '{"version": 3, "crypto": {"kdf": "pbkdf2", "kdfparams": {"c": 9999999999}}}',
        '{"version": 3, "crypto": {"kdf": "scrypt", "kdfparams": {"n": "x"}}}',
        '{"version": 3, "crypto": 7}',
    ],
)
def test_what_is_no_keystore(home: Home, tmp_path: Path, content: str) -> None:
    path = tmp_path / "wallet.json"
    path.write_text(content)
    with pytest.raises(IdentityError):
        import_account(home, "payer", path, "one")
    assert list_accounts(home) == []


def test_import_from_another_wallet(home: Home, tmp_path: Path) -> None:
    account = Account.create()
    path = tmp_path / "UTC--wallet"
    path.write_text(json.dumps(Account.encrypt(account.key, "one", kdf="pbkdf2", iterations=1000)))
    assert import_account(home, "payer", path, "one") == account.address
    assert load_account(home, "payer", "one").key == account.key
    with pytest.raises(MissingPathError):
        import_account(home, "other", tmp_path / "nothing", "one")


def test_networks_by_name_and_by_id(home: Home) -> None:
    assert find_network(home, "ethereum").chain_id == 1
    assert find_network(home, "base").chain_id == 8453
    assert find_network(home, "polygon").chain_id == 137
    assert find_network(home, "11155111").name == "sepolia"
    assert find_network(home, "local").rpc == ("http://127.0.0.1:8545",)
    assert find_network(home, "424242").chain_id == 424242
    with pytest.raises(UsageError, match="no network is called 'etherium'") as caught:
        find_network(home, "etherium")
    assert "ethereum" in caught.value.hint


def test_networks_can_be_configured(home: Home) -> None:
    home.config.mkdir(parents=True)
    (home.config / "networks.json").write_text(
        json.dumps(
            {
                "sepolia": {"rpc": "http://127.0.0.1:1", "confirmations": 3, "max_fee_gwei": 40},
                "mine": {"chain_id": 7, "rpc": ["http://127.0.0.1:2"], "contract": "0x" + "11" * 20},
            }
        )
    )
    sepolia, mine = find_network(home, "sepolia"), find_network(home, "7")
    assert (sepolia.chain_id, sepolia.rpc, sepolia.confirmations) == (11155111, ("http://127.0.0.1:1",), 3)
    assert (mine.name, mine.rpc, mine.confirmations) == ("mine", ("http://127.0.0.1:2",), 12)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"x": {}}',
        '{"x": {"chain_id": "1"}}',
        '{"x": {"chain_id": 1, "rcp": []}}',
        '{"base": {"confirmations": 0}}',
        '{"base": {"rpc": 7}}',
        '{"base": []}',
        '{"base": {"contract": 7}}',
        '{"base": {"max_fee_gwei": "9"}}',
    ],
)
def test_a_broken_configuration_is_named(home: Home, content: str) -> None:
    home.config.mkdir(parents=True)
    (home.config / "networks.json").write_text(content)
    with pytest.raises(UsageError, match=r"networks\.json cannot be used") as caught:
        load_networks(home)
    assert "chain_id" in caught.value.hint
