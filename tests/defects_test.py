"""Defects that .ci/defects plants: each stands where it says, so that planting it changes something."""

import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import jaxclust

ROOT = Path(__file__).parents[1]


def test_each_defect_can_be_planted(monkeypatch):
    loader = SourceFileLoader("defects", str(ROOT / ".ci/defects"))
    planted = module_from_spec(spec_from_loader("defects", loader))
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    monkeypatch.setitem(sys.modules, "defects", planted)
    loader.exec_module(planted)
    package = Path(jaxclust.__file__).parent
    lost = [one.name for one in planted.DEFECTS if (package / one.file).read_text().count(one.right) != 1]
    assert not lost, "move them in .ci/defects to where the line is now"
    files = [ROOT / "tests" / name for one in planted.DEFECTS for name in one.tests.split() if name.endswith(".py")]
    assert [file for file in files if not file.is_file()] == []
