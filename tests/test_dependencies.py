"""What pyproject.toml allows is what is tested."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]


def requirements():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [
        Requirement(text) for group in (project["dependencies"], *project["optional-dependencies"].values()) for text in group
    ]


def pins(name):
    lines = (line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    found = dict(line.split("==") for line in lines if line)
    return {re.sub(r"[-_.]+", "-", package).lower(): Version(version) for package, version in found.items()}


def test_the_lowest_versions_that_are_allowed_are_those_that_are_tested():
    tested = pins("constraints-min.txt")
    for wanted in requirements():
        lowest = [Version(s.version) for s in wanted.specifier if s.operator == ">="]
        assert lowest == [tested[re.sub(r"[-_.]+", "-", wanted.name).lower()]], wanted


def test_the_pinned_versions_are_allowed():
    pinned = pins("constraints.txt")
    for wanted in requirements():
        assert wanted.specifier.contains(pinned[re.sub(r"[-_.]+", "-", wanted.name).lower()]), wanted
