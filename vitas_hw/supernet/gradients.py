"""Gradients of sliced weights, written once, straight into the place that the slice has in the whole.

Autograd itself gives each slice of a weight a zero-filled gradient of the whole for every dimension that is cut, and
copies into it: on a GPU more launches than the rest of a small subnet's step. Here one zero-filled allocation serves
all the weights of a block; matrix products write into it, and vectors are copied there by one launch. The whole
gradients reach the weights as usual, so that optimizers, accumulation and DDP see nothing new. On a CPU autograd's way
is the faster one: nothing is launched, but fresh memory is touched.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.autograd.function import once_differentiable

from vitas_hw.supernet.sharing import Place, take

_ALIGNED = 64  # elements: kernels read several at once from where a gradient starts


def in_one(place: Place) -> bool:
    """Whether the slice is a view: no ring of channels closes in it."""
    return all(channels is None or len(channels) == 1 for channels in (place.rows, place.columns))


def _partial(place: Place) -> bool:
    shape = place.weight.shape
    ends = ((place.rows, shape[0]), (place.columns, shape[-1]))
    return any(channels is not None and channels != (slice(0, most),) for channels, most in ends)


class Gradients:
    """Zero-filled gradients of the weights that stand at ``places`` in part; made together when the first is taken."""

    def __init__(self, places: Collection[Place]) -> None:
        self._weights = {id(place.weight): place.weight for place in places if _partial(place) and in_one(place)}
        self._left: dict[int, Tensor] = {}

    def holds(self, place: Place) -> bool:
        """Whether that is one of the places."""
        return id(place.weight) in self._weights

    def of(self, weight: Tensor) -> Tensor:
        """That of a weight, given away: the next call begins anew."""
        if id(weight) not in self._left:
            sizes = [math.ceil(one.numel() / _ALIGNED) * _ALIGNED for one in self._weights.values()]
            parts = torch.split(weight.new_zeros(sum(sizes)), sizes)
            for (key, one), part in zip(self._weights.items(), parts, strict=True):
                self._left[key] = part[: one.numel()].view(one.shape)
        return self._left.pop(id(weight))


def slices(places: Mapping[str, Place], gradients: Gradients | None) -> dict[str, Tensor]:
    """What stands at the places, by name.

    Args:
        places: of weights.
        gradients: made of them, maybe among others; None leaves the backward pass to autograd.
    """
    ours = {} if gradients is None else {name: place for name, place in places.items() if gradients.holds(place)}
    rest = {name: take(*place) for name, place in places.items() if name not in ours}
    if not ours:
        return rest
    found = _Slices.apply([*ours.values()], gradients, *(place.weight for place in ours.values()))
    return dict(zip(ours, found, strict=True)) | rest


def linears(x: Tensor, layers: Sequence[tuple[Place, Tensor]], gradients: Gradients | None) -> Sequence[Tensor]:
    """Linear layers of equal width and one input (B, T, E): each (B, T, width).

    Args:
        x: the input.
        layers: where each weight stands, and the bias itself.
        gradients: made of those places; None leaves the backward pass to autograd.
    """
    if gradients is None or not all(in_one(place) for place, _ in layers):
        return [F.linear(x, take(*place), bias) for place, bias in layers]
    places = [place for place, _ in layers]
    joined: Tensor = _Linears.apply(x, places, gradients, *(place.weight for place in places), *(b for _, b in layers))
    return [joined] if len(layers) == 1 else joined.view(*x.shape[:-1], len(layers), -1).unbind(-2)


class _Slices(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, places: Sequence[Place], gradients: Gradients, *_: Tensor) -> tuple[Tensor, ...]:
        ctx.places, ctx.gradients = places, gradients
        return tuple(take(*place) for place in places)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *above: Tensor) -> tuple[Any, ...]:
        whole = [ctx.gradients.of(place.weight) for place in ctx.places]
        parts = [take(one, place.rows, place.columns) for one, place in zip(whole, ctx.places, strict=True)]
        torch._foreach_copy_(parts, list(above))
        return None, None, *whole


class _Linears(torch.autograd.Function):
    """Several layers run as one, by a copy of their weights side by side: a launch less for each of their gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Sequence[Place], gradients: Gradients, *inputs: Tensor) -> Tensor:
        ctx.places, ctx.gradients, ctx.dtype = places, gradients, x.dtype
        weights, biases = [take(*place) for place in places], inputs[len(places) :]
        several = len(places) > 1
        weight, bias = (torch.cat(weights), torch.cat(biases)) if several else (weights[0], biases[0])
        if torch.is_autocast_enabled(x.device.type):
            dtype = torch.get_autocast_dtype(x.device.type)
            x, weight, bias = x.to(dtype), weight.to(dtype), bias.to(dtype)
        ctx.save_for_backward(x, weight)
        return F.linear(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, above: Tensor) -> tuple[Any, ...]:
        x, weight = ctx.saved_tensors
        g, rows, count = above.reshape(-1, above.shape[-1]), x.reshape(-1, x.shape[-1]), len(ctx.places)
        of_x = torch.mm(g, weight).view(x.shape).to(ctx.dtype) if ctx.needs_input_grad[0] else None
        parts = g.chunk(count, 1)
        of_weights = [
            _whole(ctx.gradients, place, part.t(), rows) if wanted else None
            for place, part, wanted in zip(ctx.places, parts, ctx.needs_input_grad[3 : 3 + count], strict=True)
        ]
        of_biases = g.sum(0).to(ctx.places[0].weight.dtype).chunk(count)
        return of_x, None, None, *of_weights, *of_biases


def _whole(gradients: Gradients, place: Place, left: Tensor, right: Tensor) -> Tensor:
    """A product in the gradient of the whole weight, in its dtype."""
    if not gradients.holds(place):
        return torch.mm(left, right).to(place.weight.dtype)
    whole = gradients.of(place.weight)
    part = take(whole, place.rows, place.columns)
    if part.dtype == left.dtype:
        torch.mm(left, right, out=part)
    else:
        part.copy_(torch.mm(left, right))
    return whole
