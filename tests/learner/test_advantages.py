"""GAE and discounted returns against hand-derived numbers, sums over the future, and the paper's identities."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from ppo_sweep.learner.advantages import discounted_returns, generalized_advantage


def column(*values: float) -> torch.Tensor:
    """``(T, 1, 1)`` float64."""
    return torch.tensor(values, dtype=torch.float64)[:, None, None]


def flags(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.bool)[:, None, None]


def number(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def drawn(seed: int, steps: int = 9, members: int = 3, envs: int = 2) -> dict[str, torch.Tensor]:
    """A random rollout in which terminations, time limits and running episodes occur, with γ and λ of each member."""
    generator = torch.Generator().manual_seed(seed)

    def normal() -> torch.Tensor:
        return torch.randn(steps, members, envs, generator=generator).double()

    kind = torch.rand(steps, members, envs, generator=generator)
    return {
        "rewards": normal(), "values": normal(), "next_values": normal(), "terminated": kind < 0.15, "ends": kind < 0.3,
        "gamma": torch.rand(members, generator=generator).double(), "gae_lambda": torch.rand(members, generator=generator).double(),
    }  # fmt: skip


def test_gae_by_hand() -> None:
    # γ = ½, λ = ½, so γλ = ¼; V = 1, 2, 3 and V of what follows 2, 3, 4; r = 1, 1, 1; the last step bootstraps.
    # δ₂ = 1 + ½·4 − 3 = 0;  δ₁ = 1 + ½·3 − 2 = ½;  δ₀ = 1 + ½·2 − 1 = 1.
    # Â₂ = 0;  Â₁ = ½;  Â₀ = 1 + ¼·½ = 1.125.
    nothing = flags(0, 0, 0)
    found = generalized_advantage(column(1, 1, 1), column(1, 2, 3), column(2, 3, 4), nothing, nothing, number(0.5), number(0.5))
    torch.testing.assert_close(found, column(1.125, 0.5, 0.0))


def test_gae_by_hand_over_a_termination_and_over_a_time_limit() -> None:
    # As above with the episode ending at step 1. Terminated: δ₁ = 1 − 2 = −1, Â₀ = 1 − ¼ = 0.75.
    # Truncated: V of the true next observation, 8 here, counts: δ₁ = 1 + 4 − 2 = 3, Â₀ = 1 + ¼·3 = 1.75.
    arguments = column(1, 1, 1), column(1, 2, 3), column(2, 8, 4)
    ends, knobs = flags(0, 1, 0), (number(0.5), number(0.5))
    torch.testing.assert_close(generalized_advantage(*arguments, flags(0, 1, 0), ends, *knobs), column(0.75, -1.0, 0.0))
    torch.testing.assert_close(generalized_advantage(*arguments, flags(0, 0, 0), ends, *knobs), column(1.75, 3.0, 0.0))


@given(st.integers(0, 2**31))
def test_gae_equals_the_sum_over_the_future_of_each_member(seed: int) -> None:
    x = drawn(seed)
    found = generalized_advantage(**x)
    T, P, N = found.shape
    for p in range(P):
        gamma, decay = x["gamma"][p], x["gamma"][p] * x["gae_lambda"][p]
        for i in range(N):
            for t in range(T):
                expected = torch.tensor(0.0).double()
                for k in range(t, T):
                    following = 0.0 if x["terminated"][k, p, i] else x["next_values"][k, p, i]
                    expected += decay ** (k - t) * (x["rewards"][k, p, i] + gamma * following - x["values"][k, p, i])
                    if x["ends"][k, p, i]:
                        break
                torch.testing.assert_close(found[t, p, i], expected)


@given(st.integers(0, 2**31))
def test_gae_with_lambda_1_is_the_finite_horizon_estimator(seed: int) -> None:
    """Â_t = −V(s_t) + r_t + γ r_{t+1} + … + γ^(T−t−1) r_{T−1} + γ^(T−t) V(s_T): PPO eq. 10 with its exponents put right."""
    x = drawn(seed, envs=1)
    x["ends"] = torch.zeros_like(x["ends"])
    x["terminated"] = torch.zeros_like(x["terminated"])
    x["next_values"][:-1] = x["values"][1:]
    x["gae_lambda"] = torch.ones_like(x["gae_lambda"])
    found = generalized_advantage(**x)
    T = len(found)
    for t in range(T):
        expected = -x["values"][t] + x["gamma"][:, None] ** (T - t) * x["next_values"][-1]
        for k in range(t, T):
            expected = expected + x["gamma"][:, None] ** (k - t) * x["rewards"][k]
        torch.testing.assert_close(found[t], expected)


@given(st.integers(0, 2**31))
def test_gae_with_lambda_0_is_the_temporal_difference(seed: int) -> None:
    x = drawn(seed)
    x["gae_lambda"] = torch.zeros_like(x["gae_lambda"])
    following = torch.where(x["terminated"], 0.0, x["next_values"])
    expected = x["rewards"] + x["gamma"][:, None] * following - x["values"]
    torch.testing.assert_close(generalized_advantage(**x), expected)


@given(st.integers(0, 2**31))
def test_nothing_flows_back_over_the_end_of_an_episode(seed: int) -> None:
    x = drawn(seed)
    x["ends"][4] = True
    before = generalized_advantage(**x)
    returns = discounted_returns(x["rewards"], x["ends"], x["gamma"])
    x["rewards"][5:] += 100.0
    assert torch.equal(generalized_advantage(**x)[:5], before[:5])
    assert torch.equal(discounted_returns(x["rewards"], x["ends"], x["gamma"])[:5], returns[:5])


def test_discounted_returns_by_hand() -> None:
    # γ = ½, rewards 1, 2, 4, the episode ends at step 1: R₂ = 4 (cut by the rollout, no bootstrap), R₁ = 2, R₀ = 1 + 1 = 2.
    # Without that end: R₁ = 2 + 2 = 4, R₀ = 1 + 2 = 3.
    rewards = column(1, 2, 4)
    torch.testing.assert_close(discounted_returns(rewards, flags(0, 1, 0), number(0.5)), column(2, 2, 4))
    torch.testing.assert_close(discounted_returns(rewards, flags(0, 0, 0), number(0.5)), column(3, 4, 4))


@given(st.integers(0, 2**31))
def test_discounted_returns_equal_the_sum_over_the_future(seed: int) -> None:
    x = drawn(seed)
    found = discounted_returns(x["rewards"], x["ends"], x["gamma"])
    T, P, N = found.shape
    for p in range(P):
        for i in range(N):
            for t in range(T):
                last = next((k for k in range(t, T) if x["ends"][k, p, i]), T - 1)
                expected = sum(x["gamma"][p] ** (k - t) * x["rewards"][k, p, i] for k in range(t, last + 1))
                torch.testing.assert_close(found[t, p, i], expected)
