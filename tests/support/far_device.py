"""A device that stands in for a graphics card: it computes on the CPU, and refuses what a graphics card refuses.

Tensors on it say that they are elsewhere. An operation on one of them and on one of the CPU fails (a CPU tensor without
dimensions is let through, as PyTorch does), and so does ``.numpy()``. So code that mixes devices is found without any.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

FAR = torch.device("privateuseone:0")
if not hasattr(torch, FAR.type):
    _setup_privateuseone_for_python_backend()
#: What moves from one device to another, and so may see both.
_MOVES = ("_to_copy", "copy_", "set_", "copy")


class FarTensor(torch.Tensor):
    """``near`` is where its numbers really are."""

    near: torch.Tensor

    @staticmethod
    def __new__(cls, near: torch.Tensor) -> FarTensor:
        made = torch.Tensor._make_wrapper_subclass(
            cls, near.shape, strides=near.stride(), storage_offset=near.storage_offset(),
            dtype=near.dtype, device=FAR, requires_grad=False,
        )  # fmt: skip
        made.near = near
        return made

    def __repr__(self, **_: Any) -> str:
        return f"FarTensor({self.near!r})"

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["near"], None

    @staticmethod
    def __tensor_unflatten__(inner: dict[str, torch.Tensor], *_: Any) -> FarTensor:
        return FarTensor(inner["near"])

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Everywhere(TorchDispatchMode):
    """Sees the operations that make tensors as well, which have none among their arguments."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _lstm_cell(
    heard: torch.Tensor, kept: torch.Tensor, cell: torch.Tensor, *biases: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """What PyTorch gives other devices than the CPU to do in one step."""
    gates = heard + kept
    for bias in biases:
        gates = gates + bias
    let_in, forget, new, out = gates.chunk(4, 1)
    cell = torch.sigmoid(forget) * cell + torch.sigmoid(let_in) * torch.tanh(new)
    return torch.sigmoid(out) * torch.tanh(cell), cell, gates


_OWN = {"_thnn_fused_lstm_cell": _lstm_cell}


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    name = func.overloadpacket.__name__
    leaves, _ = tree_flatten((args, kwargs))
    tensors = [one for one in leaves if isinstance(one, torch.Tensor)]
    far = [one for one in tensors if isinstance(one, FarTensor)]
    wanted = kwargs.get("device")
    if wanted is None and name == "_to_copy" and far:
        wanted = FAR
    if far and name not in _MOVES:
        strangers = [one for one in tensors if not isinstance(one, FarTensor) and one.dim()]
        # indices may lie on the CPU
        if strangers and name not in ("index", "index_put", "index_put_", "_index_put_impl_"):
            raise RuntimeError(
                f"{name}: expected all tensors to be on the same device, found {FAR} and {strangers[0].device}"
            )
    if name == "_local_scalar_dense" or name == "equal":
        return func(*tree_map(_near, args), **tree_map(_near, kwargs))
    to_far = torch.device(wanted).type == FAR.type if wanted is not None else bool(far)
    if name in ("copy_", "set_"):
        func(*tree_map(_near, args), **tree_map(_near, kwargs))
        return args[0]
    near = dict(tree_map(_near, kwargs))
    if "device" in near and near["device"] is not None:
        near["device"] = torch.device("cpu")
    near.pop("pin_memory", None)
    result = _OWN.get(name, func)(*tree_map(_near, args), **near)
    if not to_far:
        return result
    mutated = {id(one.near): one for one in far}

    def there(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        return mutated[id(value)] if id(value) in mutated else FarTensor(value)

    return tree_map(there, result)


def _near(value: Any) -> Any:
    return value.near if isinstance(value, FarTensor) else value


@contextmanager
def far_device() -> Iterator[torch.device]:
    """Within it :data:`FAR` can be computed on."""
    made, made_like = torch.tensor, torch.Tensor.new_tensor

    def tensor(data: Any, *, device: Any = None, **how: Any) -> torch.Tensor:
        """PyTorch copies a list to the device below what Python sees."""
        here = made(data, **how)
        return here if device is None else here.to(device)

    def new_tensor(self: torch.Tensor, data: Any, *, device: Any = None, **how: Any) -> torch.Tensor:
        return tensor(data, device=device or self.device, **{"dtype": self.dtype, **how})

    torch.tensor, torch.Tensor.new_tensor = tensor, new_tensor  # type: ignore[assignment]
    try:
        with _Everywhere():
            yield FAR
    finally:
        torch.tensor, torch.Tensor.new_tensor = made, made_like  # type: ignore[method-assign]
