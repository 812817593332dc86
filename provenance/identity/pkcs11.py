"""Signing with a key in a PKCS#11 token: an HSM, a smart card, SoftHSM. Needs the extra ``pkcs11``.

A key is named by a PKCS#11 URI (RFC 7512), for example
``pkcs11:token=veilmark;object=signing?module-path=/usr/lib/softhsm/libsofthsm2.so``. The PIN is never part of it. The
token is asked for plain ECDSA over a hash that is made here, because that is what every token offers.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, unquote_to_bytes

from provenance.errors import IdentityError

if TYPE_CHECKING:
    import pkcs11

PIN_VARIABLE = "VEILMARK_PKCS11_PIN"
MAX_URI_CHARS = 2048
_HASHES = {"es256": hashlib.sha256, "es384": hashlib.sha384}
_CURVES = {"es256": "secp256r1", "es384": "secp384r1"}
#: A token knows one login for each process, so that sessions must follow each other.
_one_session = threading.Lock()


@dataclass(frozen=True)
class TokenKey:
    """Which key in which token.

    Attributes:
        module: path of the token's PKCS#11 module, a shared library that is loaded into this process.
        token: the token's label, or empty.
        serial: the token's serial number, or empty.
        label: the key's label (``object`` in the URI), or empty.
        key_id: the key's CKA_ID, or empty.
    """

    module: str
    token: str = ""
    serial: str = ""
    label: str = ""
    key_id: bytes = b""

    @classmethod
    def parse(cls, uri: str) -> TokenKey:
        """Read a PKCS#11 URI.

        Raises:
            IdentityError: no such URI, an attribute is unknown, or module, token or key is not named.
        """
        scheme, _, rest = uri.partition(":")
        path, _, query = rest.partition("?")
        values: dict[str, str] = {}
        for part in [*path.split(";"), *query.split("&")] if len(uri) <= MAX_URI_CHARS else []:
            name, separator, value = part.partition("=")
            if separator and name not in values:
                values[name] = value
            elif part:
                raise _bad_uri("an attribute is malformed or named twice")
        if scheme != "pkcs11" or not values:
            raise _bad_uri("it must begin with pkcs11:")
        if "pin-value" in values or "pin-source" in values:
            raise _bad_uri(f"the PIN is not stored: set {PIN_VARIABLE}, or type it when asked")
        unknown = set(values) - {"token", "serial", "object", "id", "type", "module-path"}
        if unknown or values.get("type", "private") != "private":
            raise _bad_uri(f"unknown attribute {sorted(unknown)[0][:40] if unknown else 'type'}")
        key = cls(
            module=unquote(values.get("module-path", "")),
            token=unquote(values.get("token", "")),
            serial=unquote(values.get("serial", "")),
            label=unquote(values.get("object", "")),
            key_id=unquote_to_bytes(values.get("id", "")),
        )
        if not key.module or not (key.token or key.serial) or not (key.label or key.key_id):
            raise _bad_uri("it must name module-path, token or serial, and object or id")
        return key

    def public_key(self, pin: str | None) -> bytes:
        """The public half, SubjectPublicKeyInfo as DER.

        Raises:
            IdentityError: token, PIN or key are not right, or it is no elliptic-curve key.
        """
        with self._session(pin) as session:
            from pkcs11 import KeyType, ObjectClass
            from pkcs11.util.ec import encode_ec_public_key

            found: Any = session.get_key(object_class=ObjectClass.PUBLIC_KEY, **self._names())
            if found.key_type is not KeyType.EC:
                raise IdentityError(
                    f"the key is of type {found.key_type.name}", hint="make an EC key on P-256 or P-384"
                )
            return bytes(encode_ec_public_key(found))

    def generate(self, algorithm: str, pin: str | None) -> None:
        """Make a key pair of this label in the token; the private half never leaves it.

        Args:
            algorithm: ``es256`` or ``es384``.

        Raises:
            IdentityError: the token refuses, or such a key is there.
        """
        if algorithm not in _CURVES:
            raise IdentityError(f"no {algorithm[:20]} key is made in a token", hint="choose es256 or es384")
        with self._session(pin, write=True) as session:
            from pkcs11 import Attribute, KeyType, NoSuchKey, ObjectClass
            from pkcs11.util.ec import encode_named_curve_parameters

            try:
                session.get_key(object_class=ObjectClass.PRIVATE_KEY, **self._names())
            except NoSuchKey:
                curve = {Attribute.EC_PARAMS: encode_named_curve_parameters(_CURVES[algorithm])}
                parameters = session.create_domain_parameters(KeyType.EC, curve, local=True)
                parameters.generate_keypair(store=True, **self._names())
            else:
                raise IdentityError("the token holds such a key already", hint="choose another object name")

    def signer(self, algorithm: str, pin: str | None) -> Callable[[bytes], bytes]:
        """A function that signs bytes: raw ``r || s``.

        Raises:
            IdentityError: ``algorithm`` is not ``es256`` or ``es384``. The function raises it when the token is
                away, locked or full, and for a wrong PIN.
        """
        if algorithm not in _HASHES:
            raise IdentityError(
                f"no {algorithm[:20]} signature is made by a token", hint="use a key on P-256 or P-384"
            )

        def sign(data: bytes) -> bytes:
            digest = _HASHES[algorithm](data).digest()
            with self._session(pin) as session:
                from pkcs11 import Mechanism, ObjectClass

                key: Any = session.get_key(object_class=ObjectClass.PRIVATE_KEY, **self._names())
                return bytes(key.sign(digest, mechanism=Mechanism.ECDSA))

        return sign

    def _names(self) -> dict[str, Any]:
        return {
            **({"label": self.label} if self.label else {}),
            **({"id": self.key_id} if self.key_id else {}),
        }

    @contextmanager
    def _session(self, pin: str | None, *, write: bool = False) -> Iterator[pkcs11.Session]:
        """A logged-in session; everything that PKCS#11 reports becomes an IdentityError."""
        import pkcs11

        if not pin:
            raise IdentityError("the token needs its PIN", hint=f"set {PIN_VARIABLE}")
        which = {"token_label": self.token} if self.token else {"token_serial": self.serial.encode()}
        try:
            with (
                _one_session,
                pkcs11.lib(self.module).get_token(**which).open(user_pin=pin, rw=write) as session,
            ):
                yield session
        except pkcs11.PinIncorrect as error:
            raise IdentityError(
                "the token refused the PIN", hint="several wrong PINs lock a token"
            ) from error
        except (pkcs11.NoSuchToken, pkcs11.MultipleTokensReturned) as error:
            raise IdentityError(
                f"not exactly one token {self.token or self.serial!r} is there", hint="is it plugged in?"
            ) from error
        except (pkcs11.NoSuchKey, pkcs11.MultipleObjectsReturned) as error:
            name = self.label or self.key_id.hex()
            raise IdentityError(
                f"not exactly one key {name!r} is in the token", hint="name it by object and id"
            ) from error
        except pkcs11.PKCS11Error as error:
            said = str(error) or type(error).__name__
            raise IdentityError(
                f"the token cannot be used: {said[:200]}", hint="check module-path and token"
            ) from error


def _bad_uri(why: str) -> IdentityError:
    return IdentityError(
        f"this is no PKCS#11 URI of a key: {why}",
        hint="pkcs11:token=TOKEN;object=KEY?module-path=/path/of/the/module.so",
    )
