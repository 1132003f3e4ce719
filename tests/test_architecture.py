"""What keeps the tree as it is meant to be."""

import ast
import re
from pathlib import Path
from types import ModuleType

import natsched
from natsched.core.executions import chart

ROOT = Path(natsched.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))


def test_the_shop_window_is_sorted_and_complete() -> None:
    public = {
        name
        for name, value in vars(natsched).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert sorted(natsched.__all__) == natsched.__all__
    assert set(natsched.__all__) == public


def test_files_and_functions_stay_small() -> None:
    for module in MODULES:
        text = module.read_text(encoding="utf-8")
        assert text.count("\n") <= 400, module
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 60, (module, node.name)


def test_no_module_is_a_drawer() -> None:
    assert not {module.stem for module in MODULES} & {"utils", "util", "common", "helpers", "misc", "base"}


def test_the_readme_draws_the_table_of_the_lifecycle() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    assert chart() in readme


def test_the_readme_names_only_commands_that_exist() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    commands = {
        " ".join(match.split()) for match in re.findall(r"natsched ((?:job|execution|config) [a-z]+)", readme)
    }
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "cli").glob("*.py"))
    for command in commands:
        assert f'"{command.split()[1]}"' in sources or f"def {command.split()[1]}" in sources, command
