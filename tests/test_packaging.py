"""The package as it is installed: editable and from a wheel, and the files around it that make promises."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

import ppo_sweep

ROOT = Path(__file__).parents[1]

#: Prints where the package, its plugins and its choices are found, and what a command line amounts to.
PROBE = """
import ppo_sweep, hydra_plugins.ppo_sweep_hydra as plugin
from importlib.metadata import entry_points
from hydra.core.plugins import Plugins
from ppo_sweep.sweep.command_line import check
Plugins.instance()
print(ppo_sweep.__file__)
print(plugin.__file__)
print(check(["env=hopper", "algo=clip"]).jobs[0].config.env.id)
print(*sorted({point.load().__name__ for point in entry_points(group="hydra.plugins") if point.name.startswith("ppo_sweep")}))
"""

#: A sweep of two runs of one iteration, as ``train.py`` carries it out.
SWEEP = """
import os, sys
import hydra
from ppo_sweep.sweep.composition import CONF, VERSION_BASE
from ppo_sweep.sweep.preparation import prepare
from ppo_sweep.sweep.session import Session, carry_out
argv = "-m seed=0,1 algo.n_envs=1 algo.n_steps=64 algo.minibatch_size=32 total_steps=64 study=wheel hydra.launcher.workers=1".split()
prepared, session = prepare(argv), Session(argv)
@hydra.main(config_path=str(CONF), config_name="config", **VERSION_BASE)
def run(composed):
    return session.run(composed)
os.environ["HYDRA_FULL_ERROR"] = "1"
sys.exit(carry_out(run, session, prepared.hydra_argv))
"""


def python(*arguments: str, executable: str | Path = sys.executable, cwd: Path | None = None) -> list[str]:
    done = subprocess.run([executable, *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def project() -> dict[str, Any]:
    about: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return about


def test_an_editable_install_works_from_another_directory(tmp_path: Path) -> None:
    package, plugin, env_id, plugins = python("-c", PROBE, cwd=tmp_path)
    assert Path(package).is_relative_to(ROOT)
    assert Path(plugin).is_relative_to(ROOT)
    assert env_id == "Hopper-v5"
    assert plugins == "GridSweeper PopulationLauncher StudySweeper"


def installed_wheel(tmp_path: Path) -> tuple[Path, Path]:
    """The interpreter of an environment with our wheel in it, and its site-packages."""
    python("-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path), cwd=ROOT)
    [wheel] = tmp_path.glob("*.whl")
    environment = tmp_path / "venv"
    python("-m", "venv", "--without-pip", str(environment))
    executable = environment / "bin" / "python"
    python("-m", "pip", "--python", str(executable), "install", "--quiet", "--no-deps", "--no-index", str(wheel))
    # Everything else is borrowed: plain paths, so that the .pth file of the editable install is not read.
    [own] = python("-c", "import sysconfig; print(sysconfig.get_path('purelib'))", executable=executable)
    Path(own, "borrowed.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    return executable, Path(own)


def test_a_wheel_works_without_the_checkout(tmp_path: Path) -> None:
    executable, own = installed_wheel(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    package, plugin, env_id, plugins = python("-c", PROBE, executable=executable, cwd=elsewhere)
    assert Path(package).is_relative_to(own)
    assert Path(plugin) == own / "hydra_plugins" / "ppo_sweep_hydra" / "__init__.py"
    assert env_id == "Hopper-v5"
    assert plugins == "GridSweeper PopulationLauncher StudySweeper"


@pytest.mark.slow
def test_a_sweep_runs_from_the_wheel_in_another_directory(tmp_path: Path) -> None:
    executable, own = installed_wheel(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    said = python("-c", SWEEP, executable=executable, cwd=elsewhere)
    assert said[-1] == "2 runs: 2 done"
    assert len(list((elsewhere / "results" / "wheel").rglob("policy.json"))) == 2
    assert not (own / "results").exists()


def test_hydra_plugins_is_a_namespace_that_others_share() -> None:
    assert not (ROOT / "ppo_sweep" / "_hydra" / "hydra_plugins" / "__init__.py").exists()


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = "torch numpy gymnasium mujoco hydra optuna pandas rich"
    [loaded] = python("-c", f"import sys, ppo_sweep; print(sorted(set('{heavy}'.split()) & set(sys.modules)))")
    assert loaded == "[]"


@pytest.mark.parametrize("name", ppo_sweep.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(ppo_sweep, name) is not None
    assert name in dir(ppo_sweep)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="tarin"):
        ppo_sweep.tarin  # type: ignore[attr-defined]  # noqa: B018


def test_the_version_is_the_same_everywhere() -> None:
    assert ppo_sweep.__version__ == version("ppo-sweep") == project()["version"]


def test_constraints_name_versions_only() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    wrong = [line for line in lines if not re.fullmatch(r"#.*|[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", line)]
    assert wrong == [], "no hosts, paths, or local versions (+cpu)"


def test_every_dependency_is_pinned_within_its_range() -> None:
    about = project()
    pins = {name.lower().replace("_", "-"): pin for name, pin in pinned().items()}
    for text in [*about["dependencies"], *(one for extra in ("watch", "dev", "bench") for one in about["optional-dependencies"][extra])]:
        needed = Requirement(text)
        if needed.name != "ppo-sweep":
            pin = pins[needed.name.lower().replace("_", "-")]
            assert needed.specifier.contains(pin), f"{needed} is pinned to {pin}"


def test_make_without_a_target_describes_every_target() -> None:
    rules = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^  make (\S+) +\S", listed, re.MULTILINE) == rules


def test_ci_runs_the_test_command_of_the_readme() -> None:
    commands = [line.strip() for line in (ROOT / ".ci" / "run").read_text().splitlines()]
    assert "make test" in commands
    assert re.search(r"^make test\b", (ROOT / "README.md").read_text(), re.MULTILINE)
