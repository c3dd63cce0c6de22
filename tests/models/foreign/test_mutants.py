"""Damaged networks are refused by name, or map as ONNX Runtime runs them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.mutants import mutate
from tests.networks import NAMES, RGB, local, pooled

PROGRAM = """
import sys
from pathlib import Path
import numpy as np
import swath
from swath.errors import SwathError
from swath.models.model import Model
from tests.networks import answer
raw = np.random.default_rng(0).integers(0, 255, (1, 3, 64, 64)).astype(np.float32)
for path in sorted(Path(sys.argv[1]).glob("*.onnx")):
    try:
        names = {"bands": sys.argv[2], "classes": sys.argv[3]}
        result = swath.import_onnx(path, "m.swath", scale=0.01, **names)
        model = Model(result.model)
        found = model.predict(raw[0])
        own = answer(path, raw * np.float32(0.01)).argmax(axis=1)[0]
        assert (found == own).mean() > 0.99, path.name
        word = "mapped"
    except SwathError as error:
        assert error.code != "unexpected" and error.fix
        word = "refused"
    print(path.name, word, flush=True)
"""


def judge(folder: Path, count: int, seed: int) -> dict[str, int]:
    """Import mutants of two networks in a process of their own; return how many ended how."""
    source = folder / "sources"
    source.mkdir()
    good = [
        local().write(source / "a.onnx", size=(64, 64)).read_bytes(),
        pooled().write(source / "b.onnx", size=(64, 64)).read_bytes(),
    ]
    mutants = folder / "mutants"
    mutants.mkdir()
    for number in range(count):
        dice = np.random.default_rng([seed, number])
        content, how = mutate(good[number % 2], good[1 - number % 2], dice)
        (mutants / f"{number:04}-{how}.onnx").write_bytes(content)
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(mutants), RGB, NAMES],
        capture_output=True,
        text=True,
        cwd=folder,
        env=_environment(),
    )
    words = [line.split()[-1] for line in ran.stdout.splitlines() if ".onnx " in line]
    assert ran.returncode == 0 and len(words) == count, (ran.stdout[-300:], ran.stderr[-2000:])
    return {word: words.count(word) for word in ("refused", "mapped")}


def _environment() -> dict[str, str]:
    import os

    root = Path(__file__).resolve().parents[3]
    return os.environ | {"PYTHONPATH": f"{root / 'src'}:{root}"}


def test_a_few_damaged_networks(tmp_path: Path) -> None:
    ended = judge(tmp_path, 24, seed=0)
    assert ended["refused"] > 5 and sum(ended.values()) == 24


@pytest.mark.slow
def test_many_damaged_networks(tmp_path: Path) -> None:
    assert judge(tmp_path, 500, seed=1)["refused"] > 100
