"""One metrics row per member and iteration; docs/numbers.md says what each column means."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from ppo_sweep.learner import gaussian, kl_stop
from ppo_sweep.learner.batch import Batch
from ppo_sweep.learner.rollout import Episode
from ppo_sweep.learner.state import Scalar

if TYPE_CHECKING:
    from ppo_sweep.learner.population import Population, Row
    from ppo_sweep.learner.update import UpdateProgress

WINDOW = 100


@dataclass
class EpisodeStatistics:
    """Finished training episodes of one member, partial ones left out.

    Attributes:
        returns, lengths: of the last 100.
        count, total: number and summed return of all.
    """

    returns: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    lengths: deque[int] = field(default_factory=lambda: deque(maxlen=WINDOW))
    count: int = 0
    total: float = 0.0

    def add(self, episodes: list[Episode]) -> None:
        """Take in what finished in a rollout."""
        for episode in episodes:
            if episode.partial:
                continue
            self.returns.append(episode.ret)
            self.lengths.append(episode.length)
            self.count += 1
            self.total += episode.ret

    def arrays(self) -> dict[str, npt.NDArray[np.float64] | npt.NDArray[np.int64]]:
        return {"last_returns": np.array(self.returns, np.float64), "last_lengths": np.array(self.lengths, np.int64)}

    def scalars(self) -> dict[str, Scalar]:
        return {"episodes": self.count, "return_total": self.total}

    @classmethod
    def restored(cls, arrays: Mapping[str, np.ndarray], scalars: Mapping[str, Scalar]) -> EpisodeStatistics:
        statistics = cls(count=int(scalars["episodes"] or 0), total=float(scalars["return_total"] or 0.0))
        statistics.returns.extend(arrays["last_returns"].tolist())
        statistics.lengths.extend(arrays["last_lengths"].tolist())
        return statistics


def metrics_rows(
    population: Population, batch: Batch, episodes: Sequence[list[Episode]], progress: Mapping[int, UpdateProgress]
) -> dict[int, Row]:
    """The rows of all members in ``progress`` that did not fail, by slot.

    Args:
        episodes: finished in this rollout, per member; its ``statistics`` have taken them in.
    """
    chosen = [p for p, done in progress.items() if done.failure is None]
    if not chosen:
        return {}
    index = torch.tensor(chosen, dtype=torch.int64, device=population.device)
    columns = _collecting_policy(population, batch, index) | _updated_policy(population, batch, index, chosen, progress)
    columns["reward_scale"] = [_shortest(value) for value in population.reward_scaler.divisor[chosen]]
    return {p: _row(population, p, k, columns, episodes[p], progress[p]) for k, p in enumerate(chosen)}


def _row(
    population: Population, p: int, k: int, columns: Mapping[str, list[float]], episodes: list[Episode], progress: UpdateProgress
) -> Row:
    member = population.members[p]
    statistics = member.statistics
    whole = [episode for episode in episodes if not episode.partial]
    returns = [episode.ret for episode in whole]
    penalised = member.config.algo.surrogate in ("adaptive_kl", "fixed_kl")
    row: Row = {
        "iteration": member.iteration,
        "env_steps": member.env_steps + member.config.steps_per_iteration,
        "episodes": statistics.count,
        "return_mean": _mean(returns),
        "return_std": float(np.std(returns, ddof=1)) if len(returns) > 1 else None,
        "return_100": _mean(statistics.returns),
        "return_all": statistics.total / statistics.count if statistics.count else None,
        "length_mean": _mean([episode.length for episode in whole]),
        "length_100": _mean(statistics.lengths),
        "lr": population.knobs.lr[p],
        "kl_beta": member.kl_beta if penalised else None,
        "epochs": progress.epochs,
    }
    row |= {name: values[k] for name, values in columns.items()} | {name: _shortest(mean) for name, mean in progress.means().items()}
    if member.config.algo.vf_clip is None:
        row["value_clip_fraction"] = None
    return {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()}


def _collecting_policy(population: Population, batch: Batch, index: torch.Tensor) -> dict[str, list[float]]:
    """Columns about the policy and critic that collected the rollout."""
    log_std = batch.log_std_old[index].contiguous()
    std = torch.exp(log_std)[:, 0]
    values = batch.value_old[index]
    targets, advantages = batch.first_targets[index], batch.first_advantages[index]
    low = torch.tensor(population.spec.action_low, device=std.device)
    high = torch.tensor(population.spec.action_high, device=std.device)

    def outside(actions: torch.Tensor) -> torch.Tensor:
        return ((actions < low) | (actions > high)).flatten(1).float().mean(-1)

    return _lists(
        entropy=gaussian.entropy(log_std),
        action_std=std.mean(-1),
        action_std_min=std.amin(-1),
        action_std_max=std.amax(-1),
        action_saturation=outside(batch.actions[index]),
        mean_saturation=outside(batch.mean_old[index]),
        value_mean=values.mean(-1),
        explained_variance=1 - (targets - values).var(-1, correction=0) / targets.var(-1, correction=0),
        adv_std=advantages.std(-1, correction=0),
        reward_clip_fraction=batch.reward_clip_fraction[index.cpu()],
    )


@torch.no_grad()
def _updated_policy(
    population: Population, batch: Batch, index: torch.Tensor, chosen: list[int], progress: Mapping[int, UpdateProgress]
) -> dict[str, list[float]]:
    """Columns about the policy after its last update, over the whole batch."""
    weights = population.layout.views(population.params[index])
    log_ratio, divergence = kl_stop.whole_batch(population.networks, weights, batch, index)
    order = torch.from_numpy(np.stack([progress[p].order for p in chosen])).to(index.device)
    size = population.members[0].config.algo.minibatch_size
    minibatches = torch.split(divergence.gather(1, order), size, dim=1)
    return _lists(
        kl=divergence.mean(-1),
        kl_max=torch.stack([part.contiguous().mean(-1) for part in minibatches], dim=-1).amax(-1),
        kl_sample=gaussian.kl_k1(log_ratio),
        ratio_max=torch.exp(log_ratio).amax(-1),
    )


def _lists(**columns: torch.Tensor) -> dict[str, list[float]]:
    return {name: [_shortest(value) for value in column.tolist()] for name, column in columns.items()}


def _shortest(value: float) -> float:
    """The float64 with the fewest digits that is ``value`` in float32, the precision it was computed in."""
    return float(str(np.float32(value)))


def _mean(values: list[float] | list[int] | deque[float] | deque[int]) -> float | None:
    return sum(values) / len(values) if values else None
