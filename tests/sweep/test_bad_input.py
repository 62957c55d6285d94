"""Bad input: every fault named, with value, what is allowed and what to type; exit code 2, and nothing created."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ppo_sweep import machine
from ppo_sweep.sweep.preparation import prepare

TRAIN = Path(__file__).resolve().parents[2] / "train.py"

WRONG = {
    # key
    "algo.lrr=1e-3": "algo.lrr: no such knob; did you mean algo.lr",
    "lr=1e-3": "did you mean algo.lr?",
    "+algo.max_klx=0.02": "algo.max_klx: no such knob; did you mean algo.max_kl",
    "++algo.max_klx=0.02": "algo.max_klx: no such knob; did you mean algo.max_kl",
    "+foo=1": "foo: no such knob",
    "enb=hopper": "did you mean env?",
    "total_step=1e6": "did you mean total_steps or",
    "eval=5": "eval: is a group of knobs, not a value; for example eval.every=",
    "'eval={evry: 5}'": "eval.evry: no such knob; did you mean eval.every",
    "'algo={lr: 1e-3}'": "algo: is a choice; give its knobs one by one: algo.surrogate=…",
    "~algo.lr": "nothing can be removed",
    "~tuned": "tuned=none switches tuned values off",
    "env@second=hopper": "write env=…",
    "algo.lr=1e-3 algo.lr=1e-4": "algo.lr: given 2 times; keep one",
    "env=hopper env=walker2d": "env: given 2 times; keep one",
    "algo.lr=1e-3 +algo.lr=1e-4": "algo.lr: given 2 times; keep one",
    # group and choice
    "env=hoper": "env: no such choice 'hoper'; did you mean hopper?",
    "env=Ant-v5": "did you mean env.id=Ant-v5?",
    "env=Hopper-v5": "did you mean hopper or env.id=Hopper-v5?",
    "algo=klip": "algo: no such choice 'klip'; did you mean clip or no_clip?",
    "algo=5": "algo: no such choice 5 (choices:",
    "recipe=bar": "did you mean bare or paper?",
    "network=cnn": "network: no such choice 'cnn' (choices: mlp)",
    "tuned=null": "tuned: null is no choice; tuned=none chooses nothing",
    "tuned=strong_hoper": "tuned: no such choice 'strong_hoper'",
    "experiment=nope": "experiment: no such choice 'nope'",
    "env=[hopper,walker2d]": "env: no such choice",
    "env=any": "add env.id=Name-v0",
    "hydra/launcher=rocket": "hydra/launcher: no such choice 'rocket'",
    # value
    "algo.lr=nan": "algo.lr: nan is not a finite number",
    "algo.lr=inf": "algo.lr: inf is not a finite number",
    "algo.lr=-1e-3": "algo.lr: -0.001 is not > 0",
    "algo.lr=0": "algo.lr: 0 is not > 0",
    "algo.lr=fast": "algo.lr: 'fast' is not a finite number",
    "algo.lr=true": "algo.lr: true is not a finite number",
    "algo.lr=null": "algo.lr: null is not a finite number",
    "algo.lr=": "algo.lr: '' is not a finite number",
    "algo.lr=[1e-3]": "algo.lr: [0.001] is not a finite number",
    "algo.gamma=1.01": "algo.gamma: 1.01 is not in [0, 1]",
    "algo.clip_eps=0": "algo.clip_eps: 0 is not > 0",
    "algo.max_kl=0": "algo.max_kl: 0 is not > 0; for example algo.max_kl=0.02",
    "algo.max_kl=off": "algo.max_kl: 'off' is not a finite number",
    "algo.max_kl=none": "algo.max_kl: 'none' is not a finite number > 0 or null; for example algo.max_kl=0.02",
    "algo.max_kl=false": "algo.max_kl: false is not a finite number > 0 or null",
    "eval.every=x": "eval.every: 'x' is not a whole number ≥ 0",
    "total_steps=1e300": "is not in [1, 1e+12]",
    "total_steps=9e18": "is not in [1, 1e+12]",
    "algo.grad_stats_every=1": "algo.grad_stats_every: measuring gradient noise comes with a later version; remove it",
    "algo.epochs=2.5": "algo.epochs: 2.5 is not a whole number",
    "algo.epochs=0": "algo.epochs: 0 is not in [1, 1000]",
    "algo.n_envs=9999": "algo.n_envs: 9999 is not in [1, 4096]",
    "algo.surrogate=clipp": "algo.surrogate: 'clipp' is not one of clip | adaptive_kl | fixed_kl | none",
    "algo.surrogate=null": "algo.surrogate: null is not one of",
    "algo.norm_adv=false": "algo.norm_adv: false is not one of minibatch | batch | off",
    "algo.recompute_adv=yes": "algo.recompute_adv: 'yes' is not true or false",
    "network.hidden=64": "network.hidden: 64 is not a list of whole numbers",
    "network.hidden=[64,0]": "network.hidden: [64, 0] is not a list of whole numbers in [1, 4096]; for example network.hidden=",
    "network.log_std_init=3": "network.log_std_init: 3 is not in [-20, 2]",
    "seed=-1": "seed: -1 is not in",
    "seed=abc": "seed: 'abc' is not a whole number",
    "total_steps=1.5": "total_steps: 1.5 is not a whole number",
    "total_steps=0": "total_steps: 0 is not in [1, 1e+12]",
    "score=best": "score: 'best' is not one of return_100",
    "device=tpu": "device: 'tpu' is not one of cpu | cuda",
    "env.kwargs=5": "env.kwargs: 5 is not a mapping",
    "algo.minibatch_size=${algo.batch}": "Interpolation key 'algo.batch' not found",
    "logger=mlflow": "logger: 'mlflow' is not one of csv | tensorboard | wandb",
    # combination
    "algo.n_steps=32 algo.n_envs=1 algo.minibatch_size=64": "a minibatch of 64 does not fit into a rollout of n_steps 32 × n_envs 1",
    "total_steps=100": "total_steps: 100 is less than one rollout",
    "network.shared=true algo.grad_clip=separate": "separate clipping needs separate networks",
    "network.shared=true algo.max_kl=0.02 algo.max_kl_stops=policy": "the policy alone cannot stop while network.shared=true",
    "score=eval eval.mode=sampled": "use eval.mode=both",
    # machine
    "device=cuda": "device: cuda asked for, but torch finds no GPU here",
    "results=/proc/x": "results: '/proc/x' cannot be made or used",
    "results=/proc": "results: '/proc' cannot be made or used",
    "results=/proc/x/y/z": "results: '/proc/x/y/z' cannot be made or used",
    f"results={'x' * 300}": "cannot be made or used (File name too long)",
    # environment
    "env=hopper env.id=Walker2d-v5": "env.id: Walker2d-v5 is another environment than env=hopper (Hopper-v5)",
    "-m env=hopper,walker2d env.id=Ant-v5": "env.id: Ant-v5 is another environment than env=walker2d (Walker2d-v5)",
    "env.id=../../x:Foo-v0": "is not the name of a module",
    "env=pendulum env.kwargs.g=hello": "env.kwargs: Pendulum-v1 with {'g': 'hello'} could not be stepped",
    "env=hopper env.kwargs.ctrl_cost_weight=nan": "env.kwargs.ctrl_cost_weight: nan is not a number",
    "env=dmc_cheetah_run 'env.kwargs.task_kwargs={time_limit: 5}'": "env.kwargs.task_kwargs.time_limit: it is a knob of its own",
    "env.id=Hoper-v5": "Hopper-v5",
    "env.id=CartPole-v1": "CartPole-v1 has actions Discrete",
    "env.id=no_such_module:Thing-v0": "no_such_module",
    "env=pendulum env.kwargs.gravity=9": "gravity",
    "env=pendulum 'env.kwargs={gg: 3}'": "gg",
    "env.id=LunarLander-v3": "box2d",
    # sweeps
    "seed=0,1": "seed: several values make several runs: add -m, as in python train.py -m seed=0,1",
    "env=hopper,walker2d": "add -m",
    "algo.epochs=range(1,5)": "add -m",
    "algo.lr=choice(1e-3,1e-4)": "add -m",
    "sweep=tpe": "sweep: is a study of many runs: add -m",
    "-m study=a,b": "study: cannot be swept",
    "-m results=a,b": "results: cannot be swept",
    "-m force=true,false": "force: cannot be swept",
    "-m sweep=tpe,random": "sweep: one sweep per command",
    "-m experiment=a,b": "experiment: one experiment per command",
    "-m hydra/launcher=basic,other": "hydra/launcher: no such choice 'other'",
    "-m hydra/sweeper=basic,basic": "Hydra's own settings hold for the whole command",
    "-m hydra.verbose=true,false": "cannot be swept",
    "-m algo.lr=interval(1e-4,1e-3)": "is a range to search, which needs a study",
    "-m algo.lr=1e-3,nan": "algo.lr: nan is not a finite number",
    "-m env=hopper,hoper": "did you mean hopper?",
    "-m env=glob(*)": "leave any out of a glob",
    "-m env=glob(xyz*)": "holds no value",
    "-m seed=range(0,1e9,1)": "seed: this sweep cannot be expanded",
    "-m seed=range(0,3,0)": "seed: this sweep cannot be expanded",
    "-m seed=range(1000) algo.epochs=range(1,1000)": "this grid has 999000 runs",
    # Hydra's own settings
    "hydra.run.dir=/tmp/x": "a run's directory follows from its overrides",
    "hydra.sweep.dir=/tmp/x": "a run's directory follows from its overrides",
    "hydra.job.chdir=true": "a run does not change the working directory",
    "hydra.mode=MULTIRUN": "use -m for a grid",
    "hydra.output_subdir=null": "hydra.output_subdir: is not for the command line",
    "hydra.launcher.worker=2": "hydra.launcher.worker: no such option; did you mean hydra.launcher.workers",
    "hydra.launcher.slots=0": "hydra.launcher.slots: 0 is not a whole number of at least 1, or null for the default",
    "hydra.sweeper.max_batch_size=0": "hydra.sweeper.max_batch_size: 0 is not a whole number of at least 1",
    "hydra.verbos=true": "hydra.verbos: Hydra has no such setting; python train.py --cfg hydra shows all of them",
    "-m hydra.sweeper.foo=1": "hydra.sweeper.foo: Hydra has no such setting",
    "-m hydra/launcher=basic hydra.launcher.workers=2": "hydra.launcher.workers: hydra/launcher=basic runs one job after the other",
    # blanks at which the shell has split a value
    "-m algo.lr=1e-3, 2e-3": "algo.lr: '1e-3, 2e-3' has blanks, at which the shell splits it; leave them out: algo.lr=1e-3,2e-3",
    "-m seed=0 ,1 env=hopper": "leave them out: seed=0,1",
    "network.hidden=[64, 64]": "leave them out: network.hidden=[64,64]",
    "env.kwargs={g: 9.8, dt: 1}": "leave them out: env.kwargs={g:9.8,dt:1}",
    # study and results
    "study=../up": "study: '../up' is a path",
    "study=/tmp/x": "study: '/tmp/x' is a path",
    "study=..": "starts with a dot",
    "study=3": "study: '3' is not a name",
    "study=[a]": "study: '[a]' is not a name",
    # syntax
    "hopper": "hopper: is not of the form KEY=VALUE",
    "seed": "seed: has no value; write seed=…",
    "env.idd": "is not of the form KEY=VALUE; did you mean env.id=…",
    "algo.lr==1e-3": "algo.lr: has one '=' too many; write algo.lr=1e-3",
    "-m recipe=standard,strong,": "recipe: 'standard,strong,' has a comma too many; write recipe=standard,strong",
    "=5": "=5: is not of the form KEY=VALUE: the key is missing",
    "5=5": "5=5: is not of the form KEY=VALUE: a key starts with a letter",
    "algo.lr=[1": "algo.lr: brackets do not match",
    "'env.id=a b c;d'": "put quotes inside quotes",
    "algo.lr=range(1)x": "algo.lr:",
    # what newcomers type
    "--env hopper": "--env: no such option; choices are written without dashes: env=…",
    "--seed 3": "knobs are written without dashes: seed=…",
    "env=ant": "any other environment is chosen by its registered id, for example env.id=Ant-v5",
    "-m seed=0-2": "a range of values is written seed='range(0,3)' and needs -m",
    "seed=0..2": "a range of values is written seed='range(0,3)' and needs -m",
    "algo.max_kl=[0.02,0.07]": "several values are written without brackets and need -m: algo.max_kl=0.02,0.07",
    "network.hidden=256,256": "network.hidden: is a list, which has brackets: network.hidden=[256,256]",
    "workers=1": "did you mean hydra.launcher.workers",
    "help": "see `python train.py --help`",
    "'env=hopper algo.lr=1e-3'": "'hopper algo.lr=1e-3' are several words; leave out the quotes around them",
    # options
    "--multi": "--multi: no such option; did you mean --multirun?",
    "--seed=3": "knobs are written without dashes: seed=3",
    "--force": "--force: no such option; knobs are written without dashes: force=true",
    "-force": "knobs are written without dashes: force=true",
    "--env=hopper": "knobs are written without dashes: env=hopper",
    "--checkpoint-every=5": "knobs are written without dashes: checkpoint_every=5",
    "--config-name other": "names a config in a directory of yours",
    "--config-path elsewhere": "--config-dir",
    "--config-dir no_such_place": "there is no directory 'no_such_place'",
    "--experimental-rerun x.pickle": "it reads a pickle",
    "-m --cfg job": "exclude each other",
    "--cfg jobs": "invalid choice",
    "--resolve": "goes with --cfg",
}


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("line", "wording"), WRONG.items(), ids=WRONG)
def test_wrong_command_line_is_explained_and_creates_nothing(
    line: str, wording: str, empty: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_has_gpu", lambda: False)
    assert prepare(shlex.split(line)) == 2
    said = capsys.readouterr()
    assert wording in said.err
    assert "Traceback" not in said.err
    assert said.out == ""
    assert not list(empty.iterdir())


def test_all_faults_are_reported_at_once(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "env=hoper algo.lr=nan +algo.foo=1 seed=0,1 ~algo.gamma hopper algo.epochs=0 study=a/b"
    assert prepare(line.split()) == 2
    said = capsys.readouterr().err
    assert "8 things are wrong" in said
    for start in ("env:", "algo.lr:", "algo.foo:", "seed:", "~algo.gamma:", "hopper:", "algo.epochs:", "study:"):
        assert f"  {start} " in said


@pytest.mark.parametrize("line", ["-m algo.lr=1e-3, 2e-3, 3e-3", "-m hydra/launcher=basic hydra.launcher.workers=2"])
def test_one_slip_is_one_fault(line: str, empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare(line.split()) == 2
    assert "one thing is wrong" in capsys.readouterr().err


def test_fault_shared_by_many_jobs_is_said_once(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare(shlex.split("-m seed=range(50) env=hopper,walker2d algo.gamma=2")) == 2
    said = capsys.readouterr().err
    assert "one thing is wrong" in said
    assert said.count("algo.gamma") == 1


def test_fault_of_an_environment_is_reported_beside_others(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare(shlex.split("env.id=Hoper-v5 algo.lr=0")) == 2
    said = capsys.readouterr().err
    assert "Hopper-v5" in said
    assert "algo.lr: 0 is not > 0" in said


def test_file_where_results_should_be_is_a_fault(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (empty / "results").write_text("mine")
    assert prepare([]) == 2
    assert "'results' is a file, not a directory" in capsys.readouterr().err


def test_file_above_the_results_is_a_fault(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (empty / "file.py").write_text("mine")
    assert prepare(["results=file.py/x/y"]) == 2
    assert "results: 'file.py' is a file, not a directory, so 'file.py/x/y' cannot be made" in capsys.readouterr().err


def test_link_to_nowhere_where_results_should_be_is_a_fault(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (empty / "results").symlink_to(empty / "gone")
    assert prepare([]) == 2
    assert "results: 'results' is a link that leads nowhere" in capsys.readouterr().err


def test_checking_results_that_can_be_made_leaves_nothing_behind(empty: Path) -> None:
    assert not isinstance(prepare(["results=a/b/c"]), int)
    assert not list(empty.iterdir())


@pytest.mark.parametrize("line", ["study=", "study=3"])
def test_study_that_is_no_name_is_one_fault(line: str, empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare([line]) == 2
    said = capsys.readouterr().err
    assert "one thing is wrong" in said
    assert said.count("study:") == 1


@pytest.mark.parametrize(
    ("line", "warned"),
    [
        ("tuned=strong_pendulum env=hopper", "tuned=strong_pendulum holds values for recipe=strong env=pendulum"),
        ("tuned=standard_pendulum recipe=strong", "but this is recipe=strong env=pendulum; tuned=none leaves them out"),
        ("tuned=strong_pendulum recipe=strong env=pendulum", ""),
        ("tuned=none env=hopper", ""),
        ("env=hopper env.id=Hopper-v5", ""),
    ],
)
def test_tuned_values_of_another_choice_are_warned_about(line: str, warned: str, empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not isinstance(prepare(line.split()), int)
    said = capsys.readouterr().err
    assert warned in said if warned else not said


def test_symbolic_link_out_of_the_results_is_a_fault(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (empty / "results").mkdir()
    (empty / "elsewhere").mkdir()
    (empty / "results" / "pendulum").symlink_to(empty / "elsewhere")
    assert prepare([]) == 2
    assert "through a symbolic link" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line",
    ["algo.lrr=1 env=hoper", "+algo.lr=nan", "seed=0,1", "hydra.job.chdir=True", "--config-name x"],
)
def test_process_ends_with_code_2_within_seconds(line: str, empty: Path) -> None:
    started = time.monotonic()
    ended = subprocess.run([sys.executable, str(TRAIN), *line.split()], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert "Nothing was started" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not list(empty.iterdir())
    assert time.monotonic() - started < 5  # about 0.5 s; the slack is for a loaded machine
