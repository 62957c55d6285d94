"""Batched forward passes against torch.nn.Linear, and what the initial weights promise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ppo_sweep.learner.layout import ALIGN, Architecture, Layout
from ppo_sweep.learner.networks import CHUNK, WHOLE_VECTORS, Networks, initial_parameters, tanh_of_half

LOW, HIGH = (-2.0, -1.0, 0.0), (2.0, 1.0, 5.0)


def architecture(hidden: tuple[int, ...] = (20, 9), activation: str = "tanh", shared: bool = False, mean: str = "free") -> Architecture:
    return Architecture(5, LOW, HIGH, hidden, activation, shared, mean)


def members(shape: Architecture, count: int, init: str = "default") -> tuple[Networks, list[dict[str, np.ndarray]], torch.Tensor]:
    """Networks, each member's named parameters, and the flat buffer ``(P, D)``."""
    networks = Networks(shape)
    named = [initial_parameters(networks.layout, init, 0.1 * p, np.random.default_rng(p)) for p in range(count)]
    return networks, named, torch.from_numpy(np.stack([networks.layout.pack(n) for n in named]))


def sequential(named: dict[str, np.ndarray], trunk: str, head: str, depth: int, activation: str) -> nn.Sequential:
    modules: list[nn.Module] = []
    names = [f"{trunk}.{k}" for k in range(depth)] + [head]
    for name in names:
        weight = named[f"{name}.weight"]
        weight = weight if weight.ndim == 2 else weight[:, None]
        layer = nn.Linear(*weight.shape)
        layer.weight.data, layer.bias.data = torch.from_numpy(weight.T.copy()), torch.from_numpy(named[f"{name}.bias"])
        modules += [layer, nn.Tanh() if activation == "tanh" else nn.ReLU()]
    return nn.Sequential(*modules[:-1])


@pytest.mark.parametrize("hidden", [(), (7,), (20, 9), (16, 32, 5)], ids=str)
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("shared", [False, True])
def test_forward_passes_equal_torch_linear_of_each_member(hidden: tuple[int, ...], activation: str, shared: bool) -> None:
    networks, named, flat = members(architecture(hidden, activation, shared), 3)
    weights = networks.layout.views(flat)
    x = torch.randn(3, 11, 5, generator=torch.Generator().manual_seed(0))
    mean, value = networks.mean_and_value(weights, x)
    assert torch.equal(mean, networks.mean_of_all(weights, x))
    assert torch.equal(value, networks.value_of_all(weights, x))
    for p in range(3):
        policy = sequential(named[p], "policy", "policy.mean", len(hidden), activation)
        critic = sequential(named[p], "policy" if shared else "value", "value.head", len(hidden), activation)
        torch.testing.assert_close(mean[p], policy(x[p]))
        torch.testing.assert_close(value[p], critic(x[p]).squeeze(-1))
        torch.testing.assert_close(networks.log_std(weights)[p, 0], torch.full((3,), 0.1 * p))


def test_whole_batches_in_chunks_equal_one_forward_pass() -> None:
    networks, _, flat = members(architecture(), 2)
    weights = networks.layout.views(flat)
    x = torch.randn(2, 2 * CHUNK + 3, 5, generator=torch.Generator().manual_seed(0))
    mean, value = networks.mean_and_value(weights, x)
    assert torch.equal(networks.mean_of_all(weights, x), mean)
    assert torch.equal(networks.value_of_all(weights, x), value)
    for found, expected in zip(networks.mean_and_value_of_all(weights, x), (mean, value), strict=True):
        assert torch.equal(found, expected)


def test_tanh_mean_is_tanh_scaled_to_the_bounds_and_never_leaves_them() -> None:
    free, _, flat = members(architecture(), 2)
    bounded = Networks(architecture(mean="tanh"))
    x = 30 * torch.randn(2, 50, 5, generator=torch.Generator().manual_seed(0))
    flat = flat * 5
    last_layer = free.mean_of_all(free.layout.views(flat), x)
    mean = bounded.mean_of_all(bounded.layout.views(flat), x)
    # Bounds −2…2, −1…1, 0…5: centre 0, 0, 2.5, half range 2, 1, 2.5.
    expected = torch.tensor([0.0, 0.0, 2.5]) + torch.tensor([2.0, 1.0, 2.5]) * torch.tanh(last_layer)
    torch.testing.assert_close(mean, expected)
    assert (mean >= torch.tensor(LOW)).all()
    assert (mean <= torch.tensor(HIGH)).all()


@pytest.mark.parametrize("shared", [False, True])
def test_orthogonal_init_has_orthonormal_rows_or_columns_times_the_gain(shared: bool) -> None:
    layout = Layout(architecture((20, 9), shared=shared))
    named = initial_parameters(layout, "orthogonal", 0.0, np.random.default_rng(0))
    gains = {"policy.mean.weight": 0.01, "value.head.weight": 1.0}
    for name, value in named.items():
        if not name.endswith("weight"):
            continue
        weight = value if value.ndim == 2 else value[:, None]
        gram = weight.T @ weight if weight.shape[0] >= weight.shape[1] else weight @ weight.T
        np.testing.assert_allclose(gram, gains.get(name, 2**0.5) ** 2 * np.eye(len(gram)), atol=1e-6, err_msg=name)


def test_orthogonal_matrices_are_uniform_in_sign() -> None:
    """Without the sign correction of QR every matrix would have diagonal entries of one sign on average."""
    layout = Layout(Architecture(3, LOW, HIGH, (3,)))
    draws = [initial_parameters(layout, "orthogonal", 0.0, np.random.default_rng(k))["policy.0.weight"] for k in range(400)]
    # Entries of a Haar matrix have mean 0 and variance 1/3 (times the gain √2 squared); 4 standard errors.
    assert np.abs(np.mean(draws, axis=0)).max() < 4 * (2 / 3 / 400) ** 0.5
    assert np.square(draws).mean(0) == pytest.approx(np.full((3, 3), 2 / 3), abs=0.1)


def test_normc_init_has_columns_of_unit_norm_and_a_small_policy_head() -> None:
    named = initial_parameters(Layout(architecture()), "normc", 0.0, np.random.default_rng(0))
    for name, value in named.items():
        if name.endswith("weight"):
            weight = value if value.ndim == 2 else value[:, None]
            expected = 0.01 if name == "policy.mean.weight" else 1.0
            np.testing.assert_allclose(np.linalg.norm(weight, axis=0), expected, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("init", ["orthogonal", "normc"])
def test_biases_start_at_0_and_log_std_where_it_is_told(init: str) -> None:
    named = initial_parameters(Layout(architecture()), init, -0.7, np.random.default_rng(0))
    assert not any(value.any() for name, value in named.items() if name.endswith("bias"))
    assert named["policy.log_std"].tolist() == [np.float32(-0.7)] * 3


def test_default_init_is_distributed_as_torch_linear() -> None:
    # Uniform in ± 1/√in, weights and biases: standard deviation 1/√(3·in).
    layout = Layout(Architecture(25, LOW, HIGH, (400, 100)))
    named = initial_parameters(layout, "default", 0.0, np.random.default_rng(0))
    for name, fan_in in (("policy.0", 25), ("policy.1", 400), ("value.1", 400), ("policy.mean", 100), ("value.head", 100)):
        torch_layer = nn.Linear(fan_in, 400)
        for part in ("weight", "bias"):
            value = named[f"{name}.{part}"]
            assert np.abs(value).max() <= fan_in**-0.5 + 1e-7
            if value.size >= 100:
                assert value.std() == pytest.approx((3 * fan_in) ** -0.5, rel=0.15)
                assert value.std() == pytest.approx(getattr(torch_layer, part).std().item(), rel=0.2)


def test_seeds_differ_and_repeat() -> None:
    layout = Layout(architecture())
    one, same, other = (initial_parameters(layout, "orthogonal", 0.0, np.random.default_rng(k)) for k in (0, 0, 1))
    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert not np.array_equal(one["policy.0.weight"], other["policy.0.weight"])
    assert not np.array_equal(one["policy.0.weight"], one["value.0.weight"])


@pytest.mark.parametrize("hidden", [(), (7,), (20, 9), (64, 64)], ids=str)
@pytest.mark.parametrize("shared", [False, True])
def test_pack_and_unpack_are_inverse_and_pad_with_zeros(hidden: tuple[int, ...], shared: bool) -> None:
    layout = Layout(architecture(hidden, shared=shared))
    rng = np.random.default_rng(0)
    named = {block.name: rng.normal(size=block.shape).astype(np.float32) for block in layout.blocks}
    row = layout.pack(named)
    assert row.shape == (layout.size,)
    assert np.count_nonzero(row) == sum(value.size for value in named.values())
    back = layout.unpack(row)
    assert back.keys() == named.keys()
    assert all(np.array_equal(back[name], named[name]) for name in named)


@pytest.mark.parametrize("hidden", [(), (7,), (20, 9), (64, 64), (256, 256)], ids=str)
def test_blocks_are_aligned_do_not_overlap_and_the_policy_comes_first(hidden: tuple[int, ...]) -> None:
    layout = Layout(architecture(hidden))
    assert layout.size % ALIGN == 0
    end = 0
    for block in layout.blocks:
        assert block.offset == end
        assert block.offset % ALIGN == 0
        assert block.padded[-1] % ALIGN == 0
        assert block.name.startswith("policy") == (block.offset < layout.policy_size)
        end += block.size
    assert end == layout.size


def test_fast_tanh_is_within_two_roundings_of_one_of_the_exact_value() -> None:
    # float32 near 1 has steps of 6e-8: 2σ − 1 cannot be better than that near 0, where tanh itself is small.
    x = torch.cat([torch.linspace(-12, 12, 1 << 20), torch.logspace(-30, 3, 1 << 14), -torch.logspace(-30, 3, 1 << 14)])
    found = tanh_of_half(2 * x)
    error = (found.double() - torch.tanh(x.double())).abs()
    assert error.max() < 2e-7
    assert (found.abs() <= 1).all()
    assert error.square().mean().sqrt() < 8e-8


def test_fast_tanh_at_0_infinity_and_nan() -> None:
    # Exactly 0 at 0: padded columns stay 0. NaN stays NaN: a diverged member is seen.
    y = torch.tensor([0.0, -0.0, torch.inf, -torch.inf, torch.nan]).repeat(WHOLE_VECTORS)
    found = tanh_of_half(y)
    for vectorised in (found, tanh_of_half(torch.tensor([0.0, -0.0, torch.inf, -torch.inf, torch.nan]))):
        assert vectorised[:4].tolist() == [0, 0, 1, -1]
        assert vectorised[4].isnan()


def test_an_activation_has_the_same_bits_wherever_it_lies_in_whole_vectors() -> None:
    y = 6 * torch.randn(WHOLE_VECTORS * 64, generator=torch.Generator().manual_seed(0))
    everything = tanh_of_half(y.clone())
    for size in (1, 2, 3, 5, 17, 63):
        length = size * WHOLE_VECTORS
        assert torch.equal(tanh_of_half(y[:length].clone()), everything[:length])
    for shift in (1, 7, 16, 33):
        # Same elements at other places of the vector registers, and at another alignment in memory.
        moved = torch.cat([torch.zeros(shift), y])[: y.numel()].clone()
        assert torch.equal(tanh_of_half(moved)[shift:], everything[: y.numel() - shift])


@pytest.mark.parametrize("hidden", [(64, 64), (16, 48), (50, 30), (3,)], ids=str)
@pytest.mark.parametrize("rows", [4, 5, 9, 63, 64, 100])
def test_a_members_forward_pass_has_the_same_bits_among_any_number_of_members(hidden: tuple[int, ...], rows: int) -> None:
    networks, _, flat = members(architecture(hidden), 7)
    x = torch.randn(7, rows, 5, generator=torch.Generator().manual_seed(0))
    mean, value = networks.mean_and_value(networks.layout.views(flat), x)
    for count in (1, 2, 3, 5):
        for start in range(7 - count):
            part = slice(start, start + count)
            alone = networks.mean_and_value(networks.layout.views(flat[part].clone()), x[part].clone())
            assert torch.equal(alone[0], mean[part])
            assert torch.equal(alone[1], value[part])
            assert torch.equal(networks.mean_of_all(networks.layout.views(flat[part].clone()), x[part].clone()), mean[part])
