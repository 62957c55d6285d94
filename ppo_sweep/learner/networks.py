"""Actor and critic of all members at once: batched forward passes and initial weights.

Shapes: P members, B samples, O observation, A action. ``w`` is ``Layout.views(...)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch

from ppo_sweep.learner.layout import Architecture, Block, Layout

Weights = Mapping[str, torch.Tensor]

#: Samples per member in one forward pass outside the update: keeps activations of about ten members near the cache.
CHUNK = 256
#: Products with fewer rows than this take another kernel, which rounds differently; from here on a row's bits
#: do not depend on how many rows there are.
LEAST_ROWS = 4
#: Torch computes the last elements of a buffer that do not fill two vector registers one by one, and some of those
#: round differently. Activations therefore run over whole multiples of this many floats.
WHOLE_VECTORS = 64

_MINUS_ONE = torch.tensor(-1.0)


def whole_vectors(size: int) -> int:
    """``size`` rounded up to a multiple of ``WHOLE_VECTORS``."""
    return -(-size // WHOLE_VECTORS) * WHOLE_VECTORS


def tanh_of_half(y: torch.Tensor) -> torch.Tensor:
    """tanh(y/2) = 2σ(y) − 1, in place: within 2e-7 of the exact value, in a seventh of the time of ``torch.tanh``."""
    return torch.add(_MINUS_ONE, y.sigmoid_(), alpha=2, out=y)


def _chunks(samples: int) -> Iterator[slice]:
    """``samples`` in parts of about ``CHUNK``, none with fewer rows than ``LEAST_ROWS`` unless there are so few."""
    start = 0
    while start < samples:
        stop = min(start + CHUNK, samples)
        if samples - stop < LEAST_ROWS:
            stop = samples
        yield slice(start, stop)
        start = stop


class Forward:
    """The forward pass of n members on B samples each, into buffers of its own: each call overwrites the last one's results.

    Attributes:
        trunks: the hidden layers that it runs, ``policy`` and ``value`` or one of them (shared ones are called ``policy``).
        flat: per hidden layer, the outputs of all trunks one after the other, in whole vectors.
        hidden: per trunk, its layers' outputs ``(n, B, width)``, views of ``flat``.
        head: the policy's last layer with its padding, ``(n, B, padded A)``; under ``mean: tanh`` after the tanh.
        mean: mean action, ``(n, B, A)``.
        value: ``(n, B)``.
        weighted: the value head's products before their sum, ``(n, B, width)``; room to work in, afterwards.
    """

    def __init__(self, networks: Networks, w: Weights, samples: int, *, policy: bool = True, value: bool = True) -> None:
        self.networks, self.weights = networks, w
        self._policy, self._value = policy, value
        shape = networks.architecture
        separate = value and not shape.shared
        self.trunks = ["policy"] * (policy or shape.shared) + ["value"] * separate
        self.flat: list[torch.Tensor] = []
        self.hidden: dict[str, list[torch.Tensor]] = {trunk: [] for trunk in self.trunks}
        self._members, self._samples = len(next(iter(w.values()))), samples
        for index in range(len(shape.hidden)):
            self.flat.append(self._buffer(len(self.trunks) * self._width(index)))
            for trunk, output in self.like_hidden(self.flat[-1], index).items():
                self.hidden[trunk].append(output)
        # Per hidden layer: its buffer, and for each trunk bias, input (None: the observations), weight and output.
        self._layers = [
            (
                flat,
                [
                    (
                        w[f"{trunk}.{index}.bias"],
                        self.hidden[trunk][index - 1] if index else None,
                        w[f"{trunk}.{index}.weight"],
                        self.hidden[trunk][index],
                    )
                    for trunk in self.trunks
                ],
            )
            for index, flat in enumerate(self.flat)
        ]
        if policy:
            self._mean_bias, self._mean_weight = w["policy.mean.bias"], w["policy.mean.weight"]
            width = self._mean_bias.shape[-1]
            self._flat_head = self._buffer(width)
            self.head = self._flat_head[: self._members * samples * width].view(self._members, samples, width)
            self.mean = self.head[..., : shape.action_size]
        if value:
            features = self.hidden[self.trunks[-1]][-1].shape[-1] if shape.hidden else shape.observation_size
            self._value_weight = w["value.head.weight"][..., :features]
            self._value_bias = w["value.head.bias"][:, 0, :1]
            self.weighted = self._value_weight.new_empty(self._members, samples, features)
            self.value = self.weighted.new_empty(self._members, samples)

    def _width(self, index: int) -> int:
        return self.weights[f"{self.trunks[0]}.{index}.bias"].shape[-1]

    def _buffer(self, width: int) -> torch.Tensor:
        """Zeros for ``(n, B, width)``, flat, in whole vectors."""
        return next(iter(self.weights.values())).new_zeros(whole_vectors(self._members * self._samples * width))

    def like_hidden(self, flat: torch.Tensor, index: int) -> dict[str, torch.Tensor]:
        """Views ``(n, B, width)`` of ``flat``, one per trunk, where the outputs of hidden layer ``index`` lie in theirs."""
        width = self._width(index)
        size = self._members * self._samples * width
        parts = [flat[k * size : (k + 1) * size].view(self._members, self._samples, width) for k in range(len(self.trunks))]
        return dict(zip(self.trunks, parts, strict=True))

    def features(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What the heads of policy and value function see, ``(n, B, width)`` each, after a call with observations ``x``."""
        if not self.flat:
            return x, x
        return self.hidden[self.trunks[0]][-1], self.hidden[self.trunks[-1]][-1]

    def __call__(self, x: torch.Tensor) -> None:
        """Compute ``mean`` and ``value`` of normalised observations ``(n, B, O)``."""
        gain, activate = self.networks.gain, self.networks.activate
        for flat, products in self._layers:
            for bias, source, weight, out in products:
                torch.baddbmm(bias, x if source is None else source, weight, beta=gain, alpha=gain, out=out)
            activate(flat)
        policy, value = self.features(x)
        if self._policy:
            self._compute_mean(policy)
        if self._value:
            torch.mul(value, self._value_weight, out=self.weighted)
            torch.sum(self.weighted, -1, out=self.value).add_(self._value_bias)

    def _compute_mean(self, features: torch.Tensor) -> None:
        networks = self.networks
        if networks.architecture.mean == "tanh":
            torch.baddbmm(self._mean_bias, features, self._mean_weight, beta=2, alpha=2, out=self.head)
            tanh_of_half(self._flat_head)
            self.mean = networks.centre + networks.half * self.head[..., : networks.architecture.action_size]
        else:
            torch.baddbmm(self._mean_bias, features, self._mean_weight, out=self.head)


class Networks:
    """The forward passes of one architecture; holds no parameters.

    Attributes:
        activate, gain: the activation, in place on a flat buffer in whole vectors that holds ``gain`` times its argument.
        centre, half: of the action bounds, ``(A,)``.
    """

    def __init__(self, architecture: Architecture, device: torch.device | str = "cpu") -> None:
        self.architecture = architecture
        self.layout = Layout(architecture)
        low, high = np.array(architecture.action_low), np.array(architecture.action_high)
        self.centre = torch.tensor((high + low) / 2, dtype=torch.float32, device=device)
        self.half = torch.tensor((high - low) / 2, dtype=torch.float32, device=device)
        tanh = architecture.activation == "tanh"
        self.activate: Callable[[torch.Tensor], torch.Tensor] = tanh_of_half if tanh else torch.relu_
        self.gain = 2 if tanh else 1

    def mean_and_value(self, w: Weights, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean action ``(P, B, A)`` and value ``(P, B)`` of normalised observations ``(P, B, O)``."""
        forward = Forward(self, w, x.shape[1])
        forward(x)
        return forward.mean, forward.value

    def log_std(self, w: Weights) -> torch.Tensor:
        """State-independent log σ, ``(P, 1, A)``."""
        return w["policy.log_std"][..., : self.architecture.action_size]

    def value_of_all(self, w: Weights, x: torch.Tensor) -> torch.Tensor:
        """Values of a whole batch ``(P, M, O)``, in chunks; row by row the same bits as in any other batch."""
        values = x.new_empty(x.shape[:2])
        for part, forward in self.in_chunks(w, x, policy=False):
            values[:, part] = forward.value
        return values

    def mean_and_value_of_all(self, w: Weights, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean actions ``(P, M, A)``, too, computing shared hidden layers once."""
        means, values = x.new_empty(*x.shape[:2], self.architecture.action_size), x.new_empty(x.shape[:2])
        for part, forward in self.in_chunks(w, x):
            means[:, part], values[:, part] = forward.mean, forward.value
        return means, values

    def mean_of_all(self, w: Weights, x: torch.Tensor) -> torch.Tensor:
        """Mean actions alone."""
        means = x.new_empty(*x.shape[:2], self.architecture.action_size)
        for part, forward in self.in_chunks(w, x, value=False):
            means[:, part] = forward.mean
        return means

    def in_chunks(self, w: Weights, x: torch.Tensor, *, policy: bool = True, value: bool = True) -> Iterator[tuple[slice, Forward]]:
        """Forward passes over a whole batch ``(P, M, O)``, one part of M after the other; each overwrites the last."""
        passes: dict[int, Forward] = {}
        for part in _chunks(x.shape[1]):
            size = part.stop - part.start
            if size not in passes:
                passes[size] = Forward(self, w, size, policy=policy, value=value)
            passes[size](x[:, part])
            yield part, passes[size]


def initial_parameters(layout: Layout, init: str, log_std_init: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One member's parameters at the start, at their saved shapes.

    ``orthogonal``: gain √2 in hidden layers, 0.01 in the policy's head, 1 in the value's (37 details, core 2).
    ``normc``: columns of unit norm, times 0.01 in the policy's head (openai/baselines ppo1).
    ``default``: uniform in ± 1/√in, weights and biases (torch.nn.Linear).
    """
    out: dict[str, np.ndarray] = {}
    for block in layout.blocks:
        if block.name == "policy.log_std":
            out[block.name] = np.full(block.shape, log_std_init, np.float32)
        elif block.name.endswith("bias") and init != "default":
            out[block.name] = np.zeros(block.shape, np.float32)
        else:
            out[block.name] = _initial(layout, block, init, rng)
    return out


def _initial(layout: Layout, block: Block, init: str, rng: np.random.Generator) -> np.ndarray:
    weight = block if block.name.endswith("weight") else layout.by_name[block.name.replace("bias", "weight")]
    fan_in, fan_out = weight.shape if len(weight.shape) == 2 else (weight.shape[0], 1)
    if init == "default":
        bound = fan_in**-0.5
        return rng.uniform(-bound, bound, block.shape).astype(np.float32)
    head_gain = {"policy.mean.weight": 0.01, "value.head.weight": 1.0}
    # Drawn and factorised in float64: rounding to float32 hides the last bits, where LAPACK builds may differ.
    normal = rng.standard_normal((fan_in, fan_out))
    if init == "normc":
        columns = normal / np.sqrt((normal**2).sum(0, keepdims=True))
        return np.asarray(head_gain.get(block.name, 1.0) * columns, np.float32).reshape(block.shape)
    gain = head_gain.get(block.name, 2**0.5)
    tall = normal if fan_in >= fan_out else normal.T
    q, r = np.linalg.qr(tall)
    q = q * np.sign(np.diag(r))
    return np.asarray(gain * (q if fan_in >= fan_out else q.T), np.float32).reshape(block.shape)
