import gc
import subprocess
import sys

import pytest

from swath._imports import without_collection


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_as_it_was_after_imports(enabled: bool) -> None:
    (gc.enable if enabled else gc.disable)()
    try:
        with pytest.raises(ImportError), without_collection():
            assert not gc.isenabled()
            raise ImportError
        assert gc.isenabled() is enabled
    finally:
        gc.enable()


SPY = """
import gc, sys

class Spy:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in ("swath.options", "swath.training.quick.recipe"):
            print(name, gc.isenabled())
        if name == "swath.training.quick.recipe":
            raise SystemExit

from swath.cli.main import main
sys.meta_path.insert(0, Spy)
main(["train", "data", "model", "--recipe", "quick"])
"""


def test_commands_are_imported_without_collection() -> None:
    done = subprocess.run([sys.executable, "-c", SPY], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "swath.options False",
        "swath.training.quick.recipe False",
    ]
