"""The backward pass of actor and critic of all members: from a loss's derivatives by mean and value to those by θ.

The chain rule by hand, layer by layer. With a layer f(y), y = h W + b, and d = ∂L/∂y:
∂L/∂W = hᵀ d, ∂L/∂b = Σ d, ∂L/∂h = d Wᵀ, and below it d = f'(y) · ∂L/∂h. Torch's autograd gives the same
numbers (tests/learner/test_backward.py) in more time: it allocates every intermediate result (docs/benchmarks.md).
Shapes: n members, B samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ppo_sweep.learner.networks import Forward

# f'(y) · d from f(y) and d, into ``grad_input``.
_tanh_backward = torch.ops.aten.tanh_backward.grad_input
_relu_backward = torch.ops.aten.threshold_backward.grad_input


@dataclass(frozen=True)
class _Layer:
    """One hidden layer of one trunk: its input transposed (None: the observations), what is known, and where results go."""

    below: torch.Tensor | None
    d: torch.Tensor
    d_weight: torch.Tensor
    d_bias: torch.Tensor
    weight: torch.Tensor
    d_below: torch.Tensor | None


class Backward:
    """The backward pass that belongs to one :class:`Forward`; it uses up the activations of the forward's last call.

    Attributes:
        d_mean: ∂L/∂μ, ``(n, B, A)``; the caller writes it before each call.
        d_log_std: ∂L/∂ log σ, ``(n, A)``; likewise.
    """

    def __init__(self, forward: Forward, grad: torch.Tensor) -> None:
        """``grad (n, D)`` receives the gradient by all parameters."""
        self._forward, self._grad = forward, grad
        shape, weights = forward.networks.architecture, forward.weights
        # Dense pieces, joined at the end: a product into a part of longer rows is computed member by member.
        pieces = {block.name: grad.new_zeros(len(grad), *block.padded) for block in forward.networks.layout.blocks}
        self._joined = [piece.view(len(grad), -1) for piece in pieces.values()]
        self._d_head = torch.zeros_like(forward.head)
        self.d_mean = self._d_head[..., : shape.action_size]
        self.d_log_std = pieces["policy.log_std"][:, : shape.action_size]
        self._d_mean_weight, self._d_mean_bias = pieces["policy.mean.weight"], pieces["policy.mean.bias"]
        self._d_value_weight = pieces["value.head.weight"][:, : forward.weighted.shape[-1]]
        self._d_value_bias = pieces["value.head.bias"][:, 0]
        self._mean_weight, self._value_weight = weights["policy.mean.weight"].mT, weights["value.head.weight"]
        # ∂L/∂ of one layer's outputs, laid out as its activations; every layer reuses it.
        delta = grad.new_zeros(max(map(len, forward.flat), default=0))
        deltas = [forward.like_hidden(delta, index) for index in range(len(forward.flat))]
        self._d_features = deltas[-1] if deltas else None
        self._layers: list[tuple[torch.Tensor, torch.Tensor, list[_Layer]]] = []
        for index in reversed(range(len(forward.flat))):
            layers = [
                _Layer(
                    below=forward.hidden[trunk][index - 1].mT if index else None,
                    d=forward.hidden[trunk][index],
                    d_weight=pieces[f"{trunk}.{index}.weight"],
                    d_bias=pieces[f"{trunk}.{index}.bias"],
                    weight=weights[f"{trunk}.{index}.weight"].mT,
                    d_below=deltas[index - 1][trunk] if index else None,
                )
                for trunk in forward.trunks
            ]
            self._layers.append((forward.flat[index], delta[: len(forward.flat[index])], layers))
        self._tanh = shape.activation == "tanh"

    def __call__(self, x: torch.Tensor, d_value: torch.Tensor) -> None:
        """Fill ``grad`` from ``d_mean``, ``d_log_std`` and ``d_value (n, B)`` at observations ``x (n, B, O)``."""
        self._through_heads(x, d_value.unsqueeze(-1))
        x_transposed = x.mT
        for flat, delta, layers in self._layers:
            if self._tanh:
                _tanh_backward(delta, flat, grad_input=flat)
            else:
                _relu_backward(delta, flat, 0, grad_input=flat)
            for layer in layers:
                torch.bmm(x_transposed if layer.below is None else layer.below, layer.d, out=layer.d_weight)
                torch.sum(layer.d, 1, out=layer.d_bias)
                if layer.d_below is not None:
                    torch.bmm(layer.d, layer.weight, out=layer.d_below)
        torch.cat(self._joined, 1, out=self._grad)

    def _through_heads(self, x: torch.Tensor, d_value: torch.Tensor) -> None:
        forward, networks = self._forward, self._forward.networks
        if networks.architecture.mean == "tanh":  # μ = centre + half · tanh(y)
            _tanh_backward(self._d_head, forward.head, grad_input=self._d_head)
            self.d_mean.mul_(networks.half)
        policy, value = forward.features(x)
        torch.bmm(policy.mT, self._d_head, out=self._d_mean_weight)
        torch.sum(self._d_head, 1, out=self._d_mean_bias)
        torch.mul(value, d_value, out=forward.weighted)
        torch.sum(forward.weighted, 1, out=self._d_value_weight)
        torch.sum(d_value[..., 0], 1, out=self._d_value_bias)
        if self._d_features is None:
            return
        torch.bmm(self._d_head, self._mean_weight, out=self._d_features["policy"])
        if networks.architecture.shared:
            self._d_features["policy"].addcmul_(d_value, self._value_weight)
        else:
            torch.mul(d_value, self._value_weight, out=self._d_features["value"])
