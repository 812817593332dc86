"""Which optional extra of the distribution brings a package that is not installed."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from provenance.errors import MissingExtraError

#: The extra, by the module that is missing without it.
EXTRAS = {
    **dict.fromkeys(("eth_abi", "eth_account", "eth_utils", "rlp", "web3"), "chain"),
    "ipfshttpclient": "ipfs",
    "pkcs11": "pkcs11",
    "psycopg": "postgres",
    "obstore": "s3",
    "ray": "cluster",
    **dict.fromkeys(("dlib", "flip_evaluator", "torch"), "cloak"),
    "torchattacks": "attacks",
    **dict.fromkeys(("kaldi_native_fbank", "safetensors"), "synth"),
    **dict.fromkeys(("python_multipart", "starlette", "uvicorn"), "web"),
}
_Taken = ParamSpec("_Taken")
_Given = TypeVar("_Given")


def missing_extra(error: ModuleNotFoundError) -> MissingExtraError | None:
    """The error that names the line to run, or None for a module that no extra brings."""
    extra = EXTRAS.get(error.name or "")
    if extra is None:
        return None
    return MissingExtraError(f"{error.name} is not installed", hint=f'run `pip install "veilmark[{extra}]"`')


def naming_extras(function: Callable[_Taken, _Given]) -> Callable[_Taken, _Given]:
    """The function, raising :class:`MissingExtraError` where a package is missing that an extra brings."""

    @wraps(function)
    def named(*taken: _Taken.args, **by_name: _Taken.kwargs) -> _Given:
        try:
            return function(*taken, **by_name)
        except ModuleNotFoundError as error:
            missing = missing_extra(error)
            if missing is None:
                raise
            raise missing from error

    return named
