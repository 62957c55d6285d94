"""Names of runs made short enough for a line: what tells them apart stays, what all of them share goes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class ShortNames:
    """Remembers what all names seen so far have in common, so that a run keeps its short name while others come and go."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._shared: frozenset[str] = frozenset()

    def see(self, names: Iterable[str]) -> None:
        """Take note of run paths (``algo.lr=0.001,env=hopper/seed=1``)."""
        for name in names:
            if name not in self._seen:
                settings = frozenset(name.replace("/", ",").split(","))
                self._shared = self._shared & settings if self._seen else settings
                self._seen.add(name)

    def fit(self, names: Sequence[str], width: int) -> list[str]:
        """These names in at most so many columns each: without what is shared, then without groups, then with a gap."""
        short = [self._without_shared(name) for name in names]
        if any(len(name) > width for name in short):
            short = [_without_groups(name) for name in short]
        return [_with_gap(name, width) for name in short]

    def _without_shared(self, name: str) -> str:
        if len(self._seen) < 2:
            return name
        parts = (",".join(setting for setting in part.split(",") if setting not in self._shared) for part in name.split("/"))
        return "/".join(part for part in parts if part) or name


def _without_groups(name: str) -> str:
    """``algo.max_kl=0.02/seed=1`` → ``max_kl=0.02/seed=1``."""
    return "/".join(",".join(_last_key(setting) for setting in part.split(",")) for part in name.split("/"))


def _last_key(setting: str) -> str:
    key, equals, value = setting.partition("=")
    return key.rpartition(".")[2] + equals + value


def _with_gap(name: str, width: int) -> str:
    """The beginning and, as it holds the seed, a little more of the end."""
    if len(name) <= width:
        return name
    start = max(0, (width - 1) // 2)
    end = max(0, width - 1 - start)
    return name[:start] + "…" + name[len(name) - end :]
