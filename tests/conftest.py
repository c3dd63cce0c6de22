"""Fixtures that several test modules share."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "swath",
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("swath")

_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real images, or skip the test where it is absent."""
    if not (_DATA / "README.md").is_file():
        pytest.skip(f"real images are not here: {_DATA} is absent")
    return _DATA


@pytest.fixture(autouse=True)
def verbosity() -> Iterator[None]:
    """Undo `--quiet` and `--verbose` of a command that a test runs in this process: they last as
    long as the process."""
    loggers = [logging.getLogger(name) for name in ("swath", "rasterio")]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let engines choose float32 also where the processor has bf16, which rounds otherwise in
    tiles of another shape."""
    from swath.inference import runtimes

    monkeypatch.setattr(runtimes, "_cpu_has_bf16", lambda: False)


@pytest.fixture(scope="session")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a prepared dataset of four small images with three classes in stripes; `d` is the
    test split."""
    import swath
    from tests.make import write_pairs

    folder = tmp_path_factory.mktemp("stripes")
    for name in "abcd":
        write_pairs(folder / "source" / name, [f"{name}1"], size=96)
    swath.prepare(folder / "source", folder / "dataset", test="d", val="c")
    return folder / "dataset"


@pytest.fixture(scope="session")
def tiny_model(stripes: Path) -> Path:
    """Return a model file of a small network, trained for three steps on `stripes`."""
    from tests.make import train_small

    path = stripes.parent / "tiny.swath"
    train_small(stripes, path, steps=3)
    return path
