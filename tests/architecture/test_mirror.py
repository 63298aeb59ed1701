"""`tests/unit/` mirrors `timelab/` file for file (style K1); what is tested elsewhere says where."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE, UNIT, CLI = ROOT / "timelab", ROOT / "tests/unit", ROOT / "tests/cli"

# Modules without a test file of their own: the file that holds their tests instead, and why there.
ELSEWHERE = {
    "__main__.py": ("cli/test_newcomer.py", "is the console script, started for real"),
    "check.py": ("cli/test_check.py", "one line for each fault, as the command prints it"),
    "setup.py": ("cli/test_init.py", "is what `init` and its undo do"),
    "recording.py": ("unit/test_run.py", "is the end of the conductor"),
    "cli/__init__.py": ("cli/test_newcomer.py", "the table of commands and the mapping of errors"),
    "cli/options.py": ("cli/test_newcomer.py", "what all commands share"),
    "cli/mine.py": ("cli/test_ai.py", "stands in for what is to come"),
    "cli/summ.py": ("cli/test_ai.py", "stands in for what is to come"),
    "diff/__init__.py": ("unit/diff/test_files.py", "names what the package offers"),
    "executors/base.py": ("unit/executors/test_command.py", "a protocol, held to by each executor"),
    "git/stubs.py": ("unit/git/test_hooks.py", "the text of the hooks, run by real git there"),
    "providers/base.py": ("contract/test_provider_contract.py", "a protocol, held to by each provider"),
    "redact/__init__.py": ("unit/redact/test_scan.py", "names what the package offers"),
    "redact/plugins.py": ("unit/redact/test_gates.py", "the patterns of detect-secrets, compared with it there"),
    "redact/rules.py": ("unit/redact/test_scan.py", "what is looked for, planted and found there"),
    "spec/document.py": ("unit/spec/test_sources.py", "all three languages give the same document"),
    "spec/json_source.py": ("unit/spec/test_sources.py", "all three languages give the same document"),
    "spec/toml_source.py": ("unit/spec/test_sources.py", "all three languages give the same document"),
    "spec/yaml_source.py": ("unit/spec/test_sources.py", "all three languages give the same document"),
    "spec/source.py": ("unit/spec/test_sources.py", "chooses among the three"),
    "spec/model.py": ("unit/spec/test_load.py", "is what loading gives"),
    "testing/contracts.py": ("contract/test_provider_contract.py", "is a suite of tests itself"),
    "testing/providers.py": ("contract/test_provider_contract.py", "a fake, held to the contract like the real ones"),
    "verify/commits.py": ("unit/verify/test_verify.py", "one step of several, each damaged there"),
    "verify/entries.py": ("unit/verify/test_verify.py", "one step of several, each damaged there"),
    "verify/fits.py": ("unit/verify/test_verify.py", "one step of several, each damaged there"),
    "verify/folders.py": ("unit/verify/test_verify.py", "one step of several, each damaged there"),
    "verify/ledger.py": ("unit/verify/test_verify.py", "one step of several, each damaged there"),
    "verify/notes.py": ("unit/verify/test_verify.py", "one step of several, each damaged there"),
    "verify/records.py": ("unit/verify/test_verify.py", "one step of several, each damaged there"),
}


def modules() -> list[str]:
    """Returns the modules that say anything: an `__init__.py` of a docstring alone does not."""
    found = [path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py" or _has_code(path)]
    return sorted(path.relative_to(PACKAGE).as_posix() for path in found)


def _has_code(path: Path) -> bool:
    import ast

    nodes = ast.parse(path.read_text("utf-8")).body
    return any(isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.ImportFrom)) for node in nodes)


def own_test(module: str) -> Path:
    """Returns where a module's tests belong; those of a command stand under tests/cli."""
    folder, _, name = module.rpartition("/")
    stem = folder.rpartition("/")[2] if name == "__init__.py" else name.removesuffix(".py")
    if folder == "cli" and (CLI / f"test_{stem}.py").exists():
        return CLI / f"test_{stem}.py"
    return UNIT / folder / f"test_{stem}.py"


def test_each_module_has_its_tests_or_says_where_they_are() -> None:
    """K1."""
    assert [name for name in modules() if not own_test(name).exists() and name not in ELSEWHERE] == []


def test_what_is_tested_elsewhere_is_still_there_and_has_no_file_of_its_own() -> None:
    gone = [name for name, (file, _) in ELSEWHERE.items() if not (ROOT / "tests" / file).exists()]
    assert gone == []
    assert [name for name in ELSEWHERE if name not in modules() or own_test(name).exists()] == []
