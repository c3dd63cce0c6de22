"""Judge what `predict` makes of the random images of `image_cases`; a verdict is one of

- `right`: the map equals an answer, on the grid of the image;
- `refused`: an error that names a file and says what to do;
- `announced`: the map differs, and a warning of the result speaks of the cause;
- `silently wrong`: the map differs, and nothing is said;
- `crashed`: an exception that is no `SwathError`;
- `refused badly`: the error names no file, or says nothing to do, or the image is in order;
- `false alarm`: the map is right and the image in order, and there is a warning.

Run by hand: `python -m tests.mapping.image_grammar FIRST LAST` (LAST is included), with
`--keep DIR` to keep the files.
"""

import argparse
import re
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

import swath
from swath.errors import SwathError
from swath.models.card import Card
from tests.mapping.image_cases import make
from tests.mapping.image_maker import OPTIONS, Answer, Case

WORST = ("silently wrong", "crashed", "refused badly", "false alarm")
VERDICTS = ("right", "refused", "announced", *WORST, "skipped")


@dataclass
class Verdict:
    """What came of a case."""

    case: Case
    kind: str
    detail: str = ""


def try_case(seed: int, root: Path) -> Verdict:
    """Write a case, map it, and judge."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        case = make(seed, root)
        missing = case.needs - OPTIONS - set(Card.model_fields)
        if missing:
            return Verdict(case, "skipped", f"no option {', '.join(sorted(missing))}")
        target = root / "out" / "map.tif"
        given = (
            (target,)
            if case.image is None
            else (case.image, target.parent if case.many else target)
        )
        target.parent.mkdir()
        fast = {"engine": "onnxruntime", "precision": "float32", "threads": 1}
        try:
            result = swath.predict(case.model, *given, **fast, **case.options)
        except SwathError as error:
            return Verdict(case, *_judge_error(case, error))
        except Exception as error:  # noqa: BLE001 - is what is looked for
            last = traceback.extract_tb(error.__traceback__)[-1]
            return Verdict(case, "crashed", f"{error!r} ({Path(last.filename).name}:{last.lineno})")
        return Verdict(case, *_judge(case, result, Path(result.maps[0])))


def _judge_error(case: Case, error: SwathError) -> tuple[str, str]:
    text = str(error)
    shown = f"[{error.code}] {text.replace(str(case.root), '')}"
    names = {p.name for p in case.root.rglob("*")} - {"out", "map.tif", "model.swath"}
    if isinstance(case.image, Path):
        names.add(case.image.name)
    if not any(name in text for name in names):
        return "refused badly", f"names no file: {shown}"
    if not (error.fix or "").strip():
        return "refused badly", f"says nothing to do: {shown}"
    if case.plain:
        return "refused badly", f"the image is in order: {shown}"
    return "refused", shown


def _judge(case: Case, result: Any, path: Path) -> tuple[str, str]:
    said = "\n".join(result.warnings)
    first = "" if case.answers else "should not have been mapped"
    for answer in case.answers:
        problem = _difference(case, answer, result, path)
        if not problem and answer.said and not re.search(answer.said, said):
            problem = f"right, but no warning of {answer.said}"
        if not problem and case.plain and said:
            return "false alarm", said.replace(str(case.root), "")
        if not problem:
            return "right", ""
        first = first or problem
    if said and re.search(case.about, said) and not case.plain:
        return "announced", first
    return "silently wrong", f"{first}; said: {said.replace(str(case.root), '')}"


def _difference(case: Case, answer: Answer, result: Any, path: Path) -> str | None:
    """Return in what a map differs from an answer, None if it does not."""
    with rasterio.open(path) as file:
        made, crs, transform, points = file.read(1), file.crs, file.transform, file.gcps[0]
    if made.shape != answer.classes.shape:
        return f"{made.shape} pixels instead of {answer.classes.shape}"
    wrong = (made != answer.classes) & answer.sure
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        extra = int((wrong & (made == 0)).sum()), int((wrong & (answer.classes == 0)).sum())
        return (
            f"{int(wrong.sum())} of {made.size} pixels differ ({extra[0]} without data, "
            f"{extra[1]} with data), first {at}: {made[at]} instead of {answer.classes[at]}"
        )
    if not answer.sure.mean() > 0.5:
        return f"only {answer.sure.mean():.0%} of the pixels are sure"
    if case.crs is not None and rasterio.CRS.from_user_input(case.crs) != crs:
        return f"the CRS is {crs}"
    if case.transform is not None and not case.transform.almost_equals(transform, 1e-9):
        return f"the transform is {tuple(transform)}"
    if case.trap == "odd crs" and case.transform is None and not points:
        return "the ground control points are lost"
    counts = {
        int(code): int(n) for code, n in zip(*np.unique(made, return_counts=True), strict=True)
    }
    told = {int(name): n for name, n in result.classes.items() if n} | {0: result.nodata}
    if {**{0: 0}, **counts} != told and len(result.maps) == 1:
        return f"the counts {told} are not those of the map, {counts}"
    return None


def run(first: int, last: int, keep: Path | None = None) -> list[Verdict]:
    """Try the seeds of a range, its end included."""
    out = []
    for seed in range(first, last + 1):
        with tempfile.TemporaryDirectory(dir=keep) as work:
            out.append(try_case(seed, (keep or Path(work)) / f"case{seed}"))
    return out


def summary(verdicts: Sequence[Verdict]) -> str:
    """Return counts, and tables of what went wrong by trap."""
    lines = [f"{len(verdicts)} cases"]
    count = Counter(v.kind for v in verdicts)
    lines += [f"  {kind}: {count[kind]}" for kind in VERDICTS]
    lines.append("\nBy trap: " + ", ".join(VERDICTS))
    for trap in sorted({v.case.trap for v in verdicts}):
        mine = Counter(v.kind for v in verdicts if v.case.trap == trap)
        lines.append(f"  {trap}: " + ", ".join(str(mine[kind]) for kind in VERDICTS))
    for kind in WORST:
        chosen = [v for v in verdicts if v.kind == kind]
        if chosen:
            lines.append(f"\n{kind}:")
        for v in sorted(chosen, key=lambda v: (v.case.trap, v.case.seed)):
            lines.append(f"  seed {v.case.seed} | {v.case.label} | {v.detail[:400]}")
    fair = [v for v in verdicts if v.kind == "refused" and v.case.answers]
    if fair:
        lines.append("\nrefused, though there is an answer (often fair):")
        fair.sort(key=lambda v: (v.case.trap, v.case.seed))
        lines += [f"  seed {v.case.seed} | {v.case.label} | {v.detail[:200]}" for v in fair]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int)
    parser.add_argument("--keep", type=Path, help="empty folder in which the files are kept")
    args = parser.parse_args()
    if args.keep:
        args.keep.mkdir(parents=True, exist_ok=True)
    verdicts = run(args.first, args.last, args.keep)
    print(summary(verdicts))
    sys.exit(any(v.kind in WORST for v in verdicts))


if __name__ == "__main__":
    main()
