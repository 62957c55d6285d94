"""Observations of any supported space as one vector of float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

Path = tuple[str | int, ...]


def leaves(space: spaces.Space[Any], path: Path = ()) -> Iterator[tuple[Path, spaces.Space[Any]]]:
    """Yield ``(path, leaf space)`` in the order of Gymnasium's ``flatten``: Dict by its keys, Tuple by place."""
    if isinstance(space, spaces.Dict):
        for key, child in space.spaces.items():
            yield from leaves(child, (*path, key))
    elif isinstance(space, spaces.Tuple):
        for place, child in enumerate(space.spaces):
            yield from leaves(child, (*path, place))
    else:
        yield path, space


def is_image(space: spaces.Box) -> bool:
    """Bytes in two or more axes, or three axes and more of which two are long."""
    long_axes = sum(length >= 16 for length in space.shape)
    return (space.dtype == np.uint8 and len(space.shape) >= 2) or (len(space.shape) >= 3 and long_axes >= 2)


def size(space: spaces.Space[Any]) -> int:
    """O: how many numbers one observation holds."""
    return sum(int(np.prod(leaf.shape or (1,))) for _, leaf in leaves(space))


def flattener(space: spaces.Space[Any]) -> Callable[[Any], NDArray[np.float64]] | None:
    """A function from an observation to a fresh ``(O,)`` float64 array; None where the observation is a vector already.

    The caller copies such a vector itself: one call less on the hottest path.
    """
    parts: list[tuple[Path, slice, bool]] = []
    end = 0
    for path, leaf in leaves(space):
        start, end = end, end + size(leaf)
        parts.append((path, slice(start, end), len(leaf.shape or ()) >= 2))
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        return None

    def flatten(observation: Any) -> NDArray[np.float64]:
        out = np.empty(end)
        for path, part, matrix in parts:
            value = observation
            for key in path:
                value = value[key]
            out[part] = np.reshape(value, -1) if matrix else value
        return out

    return flatten
