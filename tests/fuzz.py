"""Bad rasters by the thousand: inspected, prepared and predicted, each in a child process with a
deadline.

A case is a number: the file, its role (image, mask, or labels on another grid) and what is done to
it follow from it alone. Half of the cases are well-formed and odd (`odd`), and have to be read as
they were written; the others are damaged (`mutants`), and have to be refused by an error that names
the file, or be read the same way by all verbs. Run by hand:

    python -m tests.fuzz --cases 10000 --log fuzz.jsonl       # goes on where the log ends
    python -m tests.fuzz --only 4711 --keep DIR               # one case, with its files
"""

import argparse
import faulthandler
import functools
import itertools
import json
import logging
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as ready
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

import swath
from swath.data.dataset import Dataset
from swath.errors import DataError, SwathError
from swath.geo.tiling import Window, full_window
from swath.inference.memory import peak_memory
from swath.io.raster import Raster
from swath.mapping import plan
from tests.make import NORTH_UP, UTM, looked_up, write_model, write_raster
from tests.mutants import mutate
from tests.odd import Odd, labels, odd

DEADLINE = 60
"""Seconds of processor time of a case, so that a machine that is busy is no hang."""

PATIENCE = 10
"""So many times that is waited for a case that does nothing; counted while its watchdog is awake.
"""

MOST_MEMORY = 1.5e9
"""Bytes that a process may come to hold."""

ELSEWHERE = {"crs": "EPSG:4326", "transform": rasterio.Affine(0.0001, 0, 9, 0, -0.0001, 50.55)}
"""Where labels lie that are to be moved: on `NORTH_UP`, in degrees."""

REAL = Path(__file__).resolve().parents[2] / "shared" / "data"
"""Real images to damage, where they are here."""


@dataclass
class Verdict:
    """What came of a case: `right`, `refused`, or a `fault` (hang, crash, traceback, wrong);
    `detail` says why."""

    case: int
    kind: str
    verdict: str
    detail: str = ""
    bytes: int = 0


class Fault(Exception):
    """Something that must not happen did."""


def try_case(case: int, folder: Path) -> Verdict:
    """Make a case's file in an empty folder, and try it."""
    dice = np.random.default_rng([8, case])
    role = ("odd-image",) * 8 + ("odd-mask",) * 2 + ("image",) * 7 + ("mask",) * 2 + ("labels",)
    kind = role[case % len(role)]
    name = kind
    try:
        if kind == "odd-image":
            made = _made(dice, folder / "source")
            name = f"{kind} {made.path.name}"
            return Verdict(case, name, *_odd_image(made, folder))
        if kind == "odd-mask":
            return Verdict(case, kind, *_odd_mask(dice, folder))
        path, original, name = _damaged(dice, folder, kind)
        name = f"{kind} {name}"
        work = {"image": _image, "mask": _mask, "labels": _labels}[kind]
        return Verdict(case, name, *work(path, original, folder))
    except Fault as fault:
        return Verdict(case, name, "fault", str(fault))
    except Exception:  # noqa: BLE001 - a traceback is what is looked for
        return Verdict(case, name, "fault", traceback.format_exc()[-1500:])


def _made(dice: np.random.Generator, folder: Path) -> Odd:
    folder.mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return odd(dice, folder)


def _odd_image(made: Odd, folder: Path) -> tuple[str, str]:
    """A well-formed image has to be read, stored and mapped as it was written."""
    height, width = made.valid.shape
    write_raster(
        folder / "source" / "masks" / f"{made.path.stem}.png", _stripes(height, width), driver="PNG"
    )
    (folder / "source" / "images").mkdir()
    image = made.path.rename(folder / "source" / "images" / made.path.name)
    found = swath.inspect(folder / "source")
    found.model_dump_json()
    errors = [f for f in found.findings if f["level"] == "error"]
    if made.refused or not made.valid.any():
        word = made.refused or "nodata"
        _require(
            any(word in f["message"] and f["file"] == str(image) for f in errors),
            f"not refused as {word}: {errors}",
        )
        _refused(
            lambda: swath.prepare(folder / "source", folder / "dataset", test="none", val="none"),
            folder / "dataset",
            image,
        )
    else:
        _require(not errors, f"a well-formed file is refused: {errors}")
        swath.prepare(folder / "source", folder / "dataset", test="none", val="none")
        stored = Dataset(folder / "dataset").images[0]
        values, valid = stored.read(full_window(height, width))
        _same(made, values, valid, "prepare")
        labeled = stored.read_labels(full_window(height, width)) != 255
        _require((labeled <= made.valid).all(), "a pixel without data is labeled")
    return _map(made, image, folder)


def _map(made: Odd, image: Path, folder: Path) -> tuple[str, str]:
    """Map a well-formed image with a network whose answer is known."""
    target = folder / "map.tif"
    model = _model(len(made.values), str(made.values.dtype))
    if made.refused:
        return "refused", _refused(lambda: swath.predict(model, image, target), target, image)
    swath.predict(model, image, target, engine="onnxruntime")
    with rasterio.open(target) as mapped:
        codes = mapped.read(1)
        _require(
            mapped.crs == (rasterio.CRS.from_user_input(made.crs) if made.crs else None),
            f"crs {mapped.crs}",
        )
        if made.transform is not None:
            _require(
                mapped.transform.almost_equals(made.transform, 1e-12),
                f"transform {mapped.transform}",
            )
    _require(codes.shape == made.valid.shape, f"the map has shape {codes.shape}")
    _require(((codes == 0) == ~made.valid).all(), "nodata of the map is not the image's")
    if not made.off:
        _require(
            (codes == looked_up(made.values, made.valid)).all(),
            "the map is not what the network says",
        )
    return "right", ""


def _same(made: Odd, values: Any, valid: Any, where: str) -> None:
    _require(
        values.shape == made.values.shape, f"{where}: shape {values.shape}, not {made.values.shape}"
    )
    _require(values.dtype == made.values.dtype, f"{where}: {values.dtype}, not {made.values.dtype}")
    _require(
        (valid == made.valid).all(),
        f"{where}: {int((valid != made.valid).sum())} pixels are valid or not otherwise",
    )
    if made.off:
        off = float(np.abs(values.astype(float) - made.values).mean())
        _require(off <= made.off, f"{where}: values differ by {off:.1f}")
    else:
        _require(
            np.array_equal(values[:, valid], made.values[:, valid]),
            f"{where}: other values than were written",
        )


def _odd_mask(dice: np.random.Generator, folder: Path) -> tuple[str, str]:
    """A well-formed mask has to be stored as the classes that were written."""
    shape = (int(dice.integers(2, 90)), int(dice.integers(2, 90)))
    write_raster(
        folder / "source" / "images" / "x.tif", dice.integers(0, 255, (3, *shape)).astype(np.uint8)
    )
    codes, known = labels(dice, folder / "source" / "masks" / "x.tif", shape)
    if not known.any():
        return "refused", _refused(
            lambda: swath.prepare(folder / "source", folder / "dataset"), folder / "dataset", folder
        )
    swath.prepare(folder / "source", folder / "dataset", test="none", val="none")
    dataset = Dataset(folder / "dataset")
    stored = dataset.images[0].read_labels(full_window(*shape))
    back = np.array([*(c.map_code for c in dataset.manifest.legend.trained), *[-1] * 256])[
        np.minimum(stored, 255)
    ]
    back = np.where(stored == 255, -1, back)
    _require(
        (back == np.where(known, codes, -1)).all(), "labels are not stored as they were written"
    )
    return "right", ""


def _damaged(dice: np.random.Generator, folder: Path, kind: str) -> tuple[Path, Path, str]:
    """Write a damaged file where its role wants it; return it, the good file, and how it was
    damaged."""
    good = folder / "good"
    if kind == "image":
        real = sorted(
            p for p in REAL.rglob("*") if p.suffix in (".tif", ".jpg") and p.stat().st_size < 3e6
        )
        if real and dice.random() < 0.1:
            original = real[dice.integers(len(real))]
        else:
            original = _made(dice, good).path
    else:
        original = good / "x.tif"
        shape = int(dice.integers(2, 90)), int(dice.integers(2, 90))
        labels(dice, original, shape, **(ELSEWHERE if kind == "labels" else {}))
    other = folder / "other.tif"
    write_raster(other, dice.integers(0, 255, (3, 40, 40)).astype(np.uint8), compress="deflate")
    content, way = mutate(original.read_bytes(), other.read_bytes(), dice)
    path = folder / "source" / ("images" if kind == "image" else "masks") / f"x{original.suffix}"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path, original, f"{original.suffix} {way}"


def _image(path: Path, original: Path, folder: Path) -> tuple[str, str]:
    """A damaged image is refused by all verbs, or read alike by all."""
    read = _read_twice(path)
    _unharmed(read, original, path)
    bands, height, width = read[0].shape if read else _shape(path, original)
    write_raster(
        folder / "source" / "masks" / "x.tif", _stripes(height, width)
    )  # a PNG has at most a million columns
    found = swath.inspect(folder / "source")
    found.model_dump_json()
    errors = [f for f in found.findings if f["level"] == "error"]
    told = any(str(path) in f["file"] or f["code"] == "size-mismatch" for f in errors)
    _require(read is not None or told, f"unreadable, and nothing says so: {errors}")
    target = folder / "map.tif"
    if errors:
        _refused(
            lambda: swath.prepare(folder / "source", folder / "dataset"),
            folder / "dataset",
            folder / "source",
        )
    else:
        swath.prepare(folder / "source", folder / "dataset", test="none", val="none")
        values, valid = Dataset(folder / "dataset").images[0].read(full_window(height, width))
        _require(
            _equal(values, read[0]) and (valid == read[1]).all(),
            "prepare stored other pixels than are read",
        )
    if read is None:
        return "refused", _refused(
            lambda: swath.predict(_model(bands, "uint8"), path, target), target, path
        )
    model = _model(bands, str(read[0].dtype))
    try:
        swath.predict(model, path, target, engine="onnxruntime")
    except SwathError as error:
        return "refused", _names(error, path, target)
    with rasterio.open(target) as mapped:
        codes = mapped.read(1)
    _require(codes.shape == (height, width), f"the map has shape {codes.shape}")
    _require(
        (codes == looked_up(*read)).all(), "the map is not what the network says of the pixels"
    )
    return "right", ""


def _equal(a: Any, b: Any) -> bool:
    return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def _shape(*paths: Path) -> tuple[int, int, int]:
    """Return bands, rows and columns of the first file that can be opened at all."""
    for path in paths:
        with suppress(DataError), Raster([path]) as raster:
            return len(raster.bands), raster.grid.height, raster.grid.width
    return 3, 10, 10


def _read_twice(path: Path) -> tuple[Any, Any] | None:
    """Read a file in two ways, which have to agree: whole, and by strips; None where it is
    refused."""
    try:
        with Raster([path]) as raster:
            values, valid = raster.read(raster.grid.window)
            values = values.copy()
    except DataError as error:
        _require(str(path) in str(error), f"the error does not name the file: {error}")
        return None
    with Raster([path]) as raster:
        strips = [
            w
            for row in range(0, raster.grid.height, 50)
            for w in [Window(row, 0, 50, raster.grid.width)]
        ]
        again = np.concatenate(
            [raster.read(w.within(raster.grid.window)).values for w in strips], axis=1
        )
    _require(_equal(values, again), "two readings differ")
    return values, valid


def _unharmed(read: tuple[Any, Any] | None, original: Path, path: Path) -> None:
    """Of a file that was cut off, all pixels have to be there, or none."""
    if read is None or not original.read_bytes().startswith(path.read_bytes()):
        return
    with Raster([original]) as raster:
        values, valid = raster.read(raster.grid.window)
    same = values.shape == read[0].shape and np.array_equal(values[:, valid], read[0][:, valid])
    _require(same, "a file that is cut off is read, and is not as it was")


def _mask(path: Path, original: Path, folder: Path) -> tuple[str, str]:
    """A damaged mask is refused, or stored as whole classes."""
    with rasterio.open(original) as good:
        height, width = good.shape
    write_raster(folder / "source" / "images" / "x.tif", np.full((3, height, width), 7, np.uint8))
    return _prepared(folder, path, {})


def _labels(path: Path, original: Path, folder: Path) -> tuple[str, str]:
    """Damaged labels of a scene on another grid."""
    write_raster(
        folder / "source" / "scene.tif",
        np.full((3, 70, 70), 7, np.uint8),
        crs=UTM,
        transform=NORTH_UP,
    )
    return _prepared(folder, path, {"images": ["scene.tif"], "labels": str(path)})


def _prepared(folder: Path, path: Path, options: dict[str, Any]) -> tuple[str, str]:
    found = swath.inspect(folder / "source", **options)
    found.model_dump_json()
    try:
        swath.prepare(folder / "source", folder / "dataset", test="none", val="none", **options)
    except SwathError as error:
        return "refused", _names(error, folder / "source", folder / "dataset")
    _require(
        not any(f["level"] == "error" for f in found.findings),
        "inspect finds errors, and prepare none",
    )
    dataset = Dataset(folder / "dataset")
    stored = dataset.images[0]
    indices = stored.read_labels(stored.grid.window)
    _require(
        ((indices < len(dataset.manifest.legend.trained)) | (indices == 255)).all(),
        "a label is of no class",
    )
    return "right", ""


def _refused(work: Any, output: Path, file: Path) -> str:
    """Require that a call refuses a file, naming it, and leaves no output."""
    try:
        work()
    except SwathError as error:
        return _names(error, file, output)
    raise Fault(f"{output.name} was made of what had to be refused")


def _names(error: SwathError, file: Path, output: Path) -> str:
    _require(str(file) in str(error), f"the error does not name the file: {error}")
    _require(not output.exists(), f"refused, and {output.name} is there")
    return f"{type(error).__name__}: {error.message}"[:200]


def _require(holds: Any, what: str) -> None:
    if not holds:
        raise Fault(what)


def _stripes(height: int, width: int) -> Any:
    rows, cols = (np.arange(n, dtype=np.int64).astype(np.uint8) % 3 for n in (height, width))
    return (rows[:, None] + cols) % 3 + 1


@functools.cache
def _model(bands: int, dtype: str) -> Path:
    return write_model(_models() / f"{bands}-{dtype}.swath", bands, dtype)


@functools.cache
def _models() -> Path:
    return Path(tempfile.mkdtemp(prefix="swath-fuzz-models-"))


def _begin(work: Callable[[Connection, Path], None], line: Connection, folder: Path) -> None:
    """Say that the child is there, for its start is no part of a case, and let it work."""
    line.send(None)
    work(line, folder)


def _work(line: Connection, folder: Path) -> None:
    """Try the cases that come in, in a child process."""
    faulthandler.enable(file=(folder / "crash.txt").open("w"))
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    # Weighing a network's memory costs more than all else, and does not depend on the file.
    plan.bytes_per_pixel = functools.cache(plan.bytes_per_pixel)
    try:
        while (case := line.recv()) is not None:
            place = folder / "case"
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            found = try_case(case, place)
            found.bytes = peak_memory()
            line.send(found)
    except EOFError:
        pass
    finally:
        shutil.rmtree(_models(), ignore_errors=True)


class Child:
    """A process that tries one case after another, and the watchdog's end of the line to it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        spawn = multiprocessing.get_context("spawn")
        self.line, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_begin, args=(_work, theirs, folder), daemon=True)
        self._process.start()
        theirs.close()
        self.line.recv()
        self.case: int | None = None
        self.waited = self._begun = 0.0

    def give(self, case: int) -> None:
        """Start on a case."""
        self.case, self.waited, self._begun = case, 0.0, self._spent()
        self.line.send(case)

    @property
    def late(self) -> bool:
        """Whether its case should be done by now."""
        return self._spent() - self._begun > DEADLINE or self.waited > PATIENCE * DEADLINE

    def _spent(self) -> float:
        """Return the processor time of the process, where the machine tells it."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def take(self) -> Verdict:
        """Return the verdict that has come in, or that the process died."""
        assert self.case is not None
        try:
            found: Verdict = self.line.recv()
            if found.bytes > MOST_MEMORY and found.verdict != "fault":
                found.verdict, found.detail = (
                    "fault",
                    f"the process came to hold {found.bytes / 1e9:.1f} GB",
                )
            return found
        except (EOFError, OSError):
            self._process.join(10)
            trace = (self._folder / "crash.txt").read_text()[:1500]
            return Verdict(
                self.case, "crash", "fault", f"the process died ({self._process.exitcode}): {trace}"
            )

    def stop(self) -> None:
        """End the process."""
        self.line.close()
        self._process.kill()
        self._process.join()
        shutil.rmtree(self._folder, ignore_errors=True)


def try_all(cases: Iterable[int], folder: Path, children: int = 1) -> Iterator[Verdict]:
    """Try cases in child processes; one that dies, hangs or holds too much memory is replaced by a
    fresh one."""
    todo, names = iter(cases), itertools.count()
    pool: list[Child] = []
    try:
        while True:
            while len(pool) < children and (case := next(todo, None)) is not None:
                pool.append(Child(folder / str(next(names))))
                pool[-1].give(case)
            if not pool:
                return
            for child, found in _reports(pool):
                yield found
                case = None if found.verdict == "fault" else next(todo, None)
                if case is None:
                    pool.remove(child)
                    child.stop()
                else:
                    child.give(case)
    finally:
        for child in pool:
            child.stop()


def _reports(pool: list[Child]) -> list[tuple[Child, Verdict]]:
    """Wait a second at most, and return the verdicts of children that have one."""
    begun = time.monotonic()
    done = ready([child.line for child in pool], 1.0)
    waited = min(time.monotonic() - begun, 1.5)
    out = []
    for child in pool:
        child.waited += waited
        if child.line in done:
            out.append((child, child.take()))
        elif child.late:
            out.append(
                (
                    child,
                    Verdict(child.case or 0, "hang", "fault", f"no answer in {DEADLINE} seconds"),
                )
            )
    return out


def logged(cases: Iterable[int], log: Path, children: int) -> list[Verdict]:
    """Try the cases that a log does not hold yet, or holds as faults, and return the verdicts of
    all."""
    lines = log.read_text().splitlines() if log.exists() else []
    known = {v.case: v for v in (Verdict(**json.loads(line)) for line in lines)}
    todo = [c for c in cases if c not in known or known[c].verdict == "fault"]
    with tempfile.TemporaryDirectory() as folder, log.open("a") as out:
        for verdict in try_all(todo, Path(folder), children):
            known[verdict.case] = verdict
            print(json.dumps(asdict(verdict)), file=out, flush=True)
    return [known[c] for c in cases]


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--log", type=Path, default=Path("fuzz.jsonl"))
    parser.add_argument("--children", type=int, default=2)
    parser.add_argument("--only", type=int)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    if given.only is not None:
        folder = given.keep or Path(tempfile.mkdtemp())
        folder.mkdir(parents=True, exist_ok=True)
        print(try_case(given.only, folder))
        return
    begun = time.monotonic()
    found = logged(range(given.first, given.first + given.cases), given.log, given.children)
    for verdict in found:
        if verdict.verdict == "fault":
            print(verdict)
    print(
        Counter((v.kind.split()[0], v.verdict) for v in found), f"{time.monotonic() - begun:.0f} s"
    )
    sys.exit(any(v.verdict == "fault" for v in found))


if __name__ == "__main__":
    main()
