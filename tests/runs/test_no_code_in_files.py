"""Loading any file of a results tree runs no code: by the sources, which know no way to, and by trying."""

import ast
import hashlib
import os
import pickle
import shutil
import textwrap
from pathlib import Path

import pytest
from toy_run import CONFIG, bytes_of, work

from ppo_sweep.runs import strict_json
from ppo_sweep.runs.directory import RunDirectory, load_state, read_config
from ppo_sweep.runs.errors import StorageError
from ppo_sweep.runs.status import read_status
from ppo_sweep.runs.tensors import read_policy

ROOT = Path(__file__).parents[2]

FORBIDDEN_MODULES = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
FORBIDDEN_NAMES = {"eval", "exec", "compile", "__import__", "instantiate"}
FORBIDDEN_ARGUMENTS = {"weights_only=False", "allow_pickle=True", "shell=True"}
#: attribute: of which module (None: of any).
FORBIDDEN_ATTRIBUTES = {
    "load": {"yaml", "torch", "pickle"}, "load_all": {"yaml"}, "unsafe_load": None, "unsafe_load_all": None, "full_load": None,
    "full_load_all": None, "UnsafeLoader": None, "FullLoader": None, "instantiate": None, "read_pickle": None, "to_pickle": None,
    "system": {"os"}, "popen": {"os"},
}  # fmt: skip


def findings(source: str) -> list[str]:
    """What a source does that could run code from a file, as ``line: what``."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(node, alias.name) for alias in node.names if alias.name.split(".")[0] in FORBIDDEN_MODULES]
        elif isinstance(node, ast.ImportFrom):
            module = (node.module or "").split(".")[0]
            names = {alias.name for alias in node.names}
            if module in FORBIDDEN_MODULES or "instantiate" in names or (module in ("yaml", "torch") and names & {"load", "load_all"}):
                found.append((node, f"from {node.module} import {', '.join(sorted(names))}"))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_NAMES:
            found.append((node, f"{node.func.id}()"))
        elif isinstance(node, ast.Attribute) and node.attr in FORBIDDEN_ATTRIBUTES:
            of = FORBIDDEN_ATTRIBUTES[node.attr]
            if of is None or (isinstance(node.value, ast.Name) and node.value.id in of):
                found.append((node, ast.unparse(node)))
        elif isinstance(node, ast.keyword) and ast.unparse(node) in FORBIDDEN_ARGUMENTS:
            found.append((node.value, ast.unparse(node)))
    return [f"{node.lineno}: {what}" for node, what in found]


@pytest.mark.parametrize(
    "line",
    [
        "import pickle", "import dill as d", "from pickle import loads", "import cloudpickle.fast", "import joblib", "import marshal",
        "eval('1')", "exec(text)", "__import__('os')", "compile(a, b, 'exec')",
        "yaml.load(text, Loader=yaml.SafeLoader)", "yaml.unsafe_load(text)", "yaml.full_load(text)", "from yaml import load",
        "torch.load(path)", "torch.load(path, weights_only=True)", "f(path, weights_only=False)", "np.load(path, allow_pickle=True)",
        "hydra.utils.instantiate(config)", "from hydra.utils import instantiate", "instantiate(config)", "pd.read_pickle(path)",
        "subprocess.run(text, shell=True)", "os.system(text)",
    ],
)  # fmt: skip
def test_the_scan_finds(line):
    assert findings(f"def f():\n    {line}\n") == [f for f in findings(f"def f():\n    {line}\n") if f.startswith("2: ")] != []


def test_the_scan_leaves_what_is_harmless_alone():
    assert findings("config.eval.every; model.eval(); re.compile('x'); torch.compile(f); yaml.safe_load(t); json.load(f)") == []


def test_no_source_of_the_project_can_run_code_from_a_file():
    sources = [*(ROOT / "ppo_sweep").rglob("*.py"), *(ROOT / "scripts").rglob("*.py"), *ROOT.glob("*.py")]
    assert len(sources) > 20
    found = {str(path.relative_to(ROOT)): findings(path.read_text(encoding="utf-8")) for path in sources}
    assert {path: what for path, what in found.items() if what} == {}


class Payload:
    """Unpickled, it makes a directory."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def planted(tmp_path: Path):
    """``plant(path)`` puts a pickle there; at the end of the test it must not have run."""
    marker = tmp_path / "code_ran"

    def plant(path: Path) -> None:
        path.write_bytes(pickle.dumps(Payload(marker)))

    yield plant
    assert not marker.exists(), "a planted file ran code"
    pickle.loads(pickle.dumps(Payload(marker)))  # noqa: S301  the payload itself is under test here
    assert marker.exists(), "the payload is a dud, and the test shows nothing"


def read_everything(run: Path) -> None:
    """Every way in which the project reads a run; StorageErrors are the expected answer."""
    for read in (read_policy, read_config, load_state):
        try:
            read(run)
        except StorageError:
            continue
    read_status(run)


def test_pickles_planted_anywhere_in_a_run_are_never_executed(tmp_path, planted):
    work(tmp_path / "run", until=8)
    work(tmp_path / "reference")
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file() and path.name != "config.yaml"]
    for path in files:
        copy = tmp_path / "copy"
        shutil.copytree(tmp_path / "run", copy)
        planted(copy / path.relative_to(tmp_path / "run"))
        read_everything(copy)
        work(copy)
        assert bytes_of(copy) == bytes_of(tmp_path / "reference"), path
        shutil.rmtree(copy)
    planted(tmp_path / "run/config.yaml")
    read_everything(tmp_path / "run")


def test_pickles_under_headers_that_vouch_for_them_are_never_executed(tmp_path, planted):
    run = tmp_path / "run"
    work(run, until=8)
    for directory, stem in ((run / "checkpoint", "a"), (run / "checkpoint", "b"), (run, "policy")):
        planted(directory / f"{stem}.safetensors")
        content = (directory / f"{stem}.safetensors").read_bytes()
        header = directory / f"{stem}.json"
        document = strict_json.unseal(header.read_bytes(), header) if header.exists() else {}
        document["tensors"] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        header.write_bytes(strict_json.seal(document))
    with pytest.raises(StorageError, match=r"policy\.safetensors: tensors: expected a safetensors file"):
        read_policy(run)
    with pytest.raises(StorageError, match=r"(?s)b\.safetensors: tensors: expected .*a\.safetensors: tensors: expected"):
        load_state(run)
    with RunDirectory.open(CONFIG, run) as opened:
        assert opened.state is None


def test_yaml_that_names_python_objects_builds_none(tmp_path):
    work(tmp_path / "run", until=5)
    marker = tmp_path / "code_ran"
    (tmp_path / "run/config.yaml").write_text(
        textwrap.dedent(f"""
        schema_version: 1
        hash: !!python/object/apply:os.mkdir [{marker}]
        env: !!python/object/new:os.mkdir [{marker}]
    """)
    )
    read_everything(tmp_path / "run")
    with pytest.raises(Exception, match="could not determine a constructor"):
        RunDirectory.open(CONFIG, tmp_path / "run")
    assert not marker.exists()
