"""The shape of the source, proved from the source: who may import whom, and where."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ["auditory_model", "binaural_feature", "database", "localization", "train_doa"]
SOURCES = sorted(
    [ROOT / "auditory_model.py", ROOT / "binaural_feature.py", ROOT / "train_doa.py"]
    + [path for package in ("database", "localization") for path in (ROOT / package).rglob("*.py")]
)
HOMES = {
    "torch": ["localization"],
    "yaml": ["localization.experiments"],
    "lightning": ["localization.training"],
    "safetensors": ["localization.shipped"],
    "matplotlib": ["localization.plots"],
    "sklearn": ["localization.baselines"],
    "h5py": ["database.store", "database.guard", "database.sofa"],
}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> list[tuple[str, ast.stmt, bool]]:
    """Every module that the file imports, the statement, and whether it stands inside a function."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    package = module_name(path) if path.stem == "__init__" else module_name(path).rpartition(".")[0]
    found: list[tuple[str, ast.stmt, bool]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node, id(node) in inside) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join(filter(None, [*parents, node.module or ""]))
            found += [(f"{base}.{alias.name}", node, id(node) in inside) for alias in node.names]
    return found


def lives_in(module: str, homes: list[str]) -> bool:
    return any(module == home or module.startswith(home + ".") for home in homes)


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_imports_go_one_way(path):
    layer = LAYERS.index(module_name(path).split(".")[0])
    for imported, node, _ in imports(path):
        top = imported.split(".")[0]
        if top in LAYERS:
            place = f"{module_name(path)}:{node.lineno}"
            assert LAYERS.index(top) <= layer, f"{place} imports {imported}, a later layer"


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_libraries_stay_where_they_belong(path):
    for imported, node, _ in imports(path):
        homes = HOMES.get(imported.split(".")[0])
        place = f"{module_name(path)}:{node.lineno}"
        assert homes is None or lives_in(module_name(path), homes), f"{place} imports {imported}"


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_no_star_import_and_a_reason_for_every_import_inside_a_function(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    for imported, node, inside in imports(path):
        assert not imported.endswith(".*"), f"{module_name(path)}:{node.lineno} imports a star"
        if inside:
            near = lines[max(node.lineno - 4, 0) : node.end_lineno]
            assert any("#" in line for line in near), f"{module_name(path)}:{node.lineno} gives no reason"


@pytest.mark.parametrize(
    ("module", "unloaded"),
    [
        ("auditory_model", {"torch", "matplotlib", "h5py"}),
        ("binaural_feature", {"torch", "matplotlib", "h5py"}),
        ("database.build", {"torch", "matplotlib"}),
        ("localization", {"lightning", "pytorch_lightning", "matplotlib", "h5py"}),
        ("train_doa", {"torch", "lightning", "matplotlib"}),
    ],
)
def test_importing_one_loads_no_more_than_it_needs(module, unloaded):
    script = f"import sys, {module}; print(sorted({unloaded!r} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_nothing_catches_everything(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"{module_name(path)}:{node.lineno}"
            caught = [node.type]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
            caught = node.args
        else:
            continue
        names = {part.id for each in caught for part in ast.walk(each) if isinstance(part, ast.Name)}
        assert not names & {"Exception", "BaseException"}, f"{module_name(path)}:{node.lineno}"


def test_no_file_is_called_utils():
    assert not [path for path in ROOT.rglob("*util*.py") if not re.search(r"venv|site-packages", str(path))]
