"""What pyproject.toml allows is what is tested."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.make import noise, write_raster

ROOT = Path(__file__).resolve().parents[1]


def requirements(*groups):
    """Return what the package and its extras need, and the groups of pyproject.toml."""
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = whole["project"]
    listed = [project["dependencies"], *project["optional-dependencies"].values()]
    listed += [whole["dependency-groups"][name] for name in groups]
    texts = [text for group in listed for text in group if isinstance(text, str)]
    return [wanted for wanted in map(Requirement, texts) if wanted.name != "swath"]


def pins(name):
    lines = (line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    found = dict(line.split("==") for line in lines if line)
    return {
        re.sub(r"[-_.]+", "-", package).lower(): Version(version)
        for package, version in found.items()
    }


def test_the_lowest_versions_that_are_allowed_are_those_that_are_tested():
    tested = pins("constraints-min.txt")
    for wanted in requirements("test"):
        lowest = [Version(s.version) for s in wanted.specifier if s.operator == ">="]
        assert lowest == [tested[re.sub(r"[-_.]+", "-", wanted.name).lower()]], wanted


def test_the_pinned_versions_are_allowed():
    pinned = pins("constraints.txt")
    for wanted in requirements("test", "check", "coverage", "package", "dev"):
        assert wanted.specifier.contains(pinned[re.sub(r"[-_.]+", "-", wanted.name).lower()]), (
            wanted
        )


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_nothing_is_told_to_anyone(tiny_model, tmp_path, engine):
    """Both engines write down who we are, and what they want to send, before they send it."""
    write_raster(tmp_path / "i.tif", noise(3, 40, 40))
    places = {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "temporary")}
    for place in places.values():
        Path(place).mkdir()
    silencing = ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "CI", "TF_BUILD", "JENKINS_URL")
    given = {k: v for k, v in os.environ.items() if k not in silencing} | places
    words = ["predict", str(tiny_model), "i.tif", "m.tif", "--engine", engine]
    subprocess.run(
        [sys.executable, "-m", "swath", *words],
        cwd=tmp_path,
        env=given,
        check=True,
        capture_output=True,
    )
    assert (tmp_path / "m.tif").exists()
    left = [
        p
        for place in places.values()
        for p in Path(place).rglob("*")
        if p.is_file() and re.search("icrosoft|intel|openvino", str(p.relative_to(place)))
    ]
    assert left == [] and not list(tmp_path.rglob(".ses"))
