"""A c2pa signer that also writes a CAWG identity assertion (``cawg.x509.cose``).

c2pa's C interface has a function for it (``c2pa_identity_signer_create``), which combines two signers; c2pa-python
0.38 brings the library and no method for that function, so it is called here through the library that the package
has loaded.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from provenance.errors import UsageError

if TYPE_CHECKING:
    from provenance.identity.credential import IdentityCredential

#: Assertions that an identity vouches for, where a manifest has them; the binding to the content always is one.
REFERENCED = ("c2pa.actions.v2", "cawg.metadata", "cawg.training-mining")


def with_identity(
    signer: Any, credential: IdentityCredential, sign: Callable[[bytes], bytes], references: Sequence[str]
) -> Any:
    """A signer that signs the claim as ``signer`` does, and an identity assertion with ``credential``.

    Args:
        signer: a c2pa signer; it is used up.
        sign: the credential's signing function, as c2pa shall call it.
        references: labels of the assertions that the identity vouches for.

    Raises:
        UsageError: the installed c2pa-python cannot do it.
        c2pa.C2paError: the credential is refused.
    """
    import c2pa
    from c2pa import c2pa as binding

    algorithm = getattr(c2pa.C2paSigningAlg, credential.algorithm.upper())
    named = c2pa.Signer.from_callback(sign, algorithm, credential.chain_pem)
    try:
        create = binding._lib.c2pa_identity_signer_create
        pointer = ctypes.POINTER(binding.C2paSigner)
        create.restype = pointer
        create.argtypes = [pointer, pointer, ctypes.POINTER(ctypes.c_char_p), ctypes.POINTER(ctypes.c_char_p)]
        callbacks = (signer._callback_cb, named._callback_cb)
        labels = (ctypes.c_char_p * (len(references) + 1))(*(one.encode() for one in references), None)
        with binding._native_section():
            combined = create(signer._handle, named._handle, labels, None)
            binding._check_ffi_operation_result(combined, "Failed to create an identity signer")
        for used in (signer, named):
            used._teardown(free_handle=False)
    except AttributeError as error:
        raise UsageError(
            "the installed c2pa-python cannot write identities",
            hint="install the version that veilmark names",
        ) from error
    result = c2pa.Signer(combined)
    # c2pa calls these for as long as the combined signer lives
    result._callback_cb = callbacks
    return result
