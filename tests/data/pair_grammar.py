"""Judge what `prepare` makes of the random source folders of `pair_cases`; a verdict is one of

- `right`: the dataset equals the answer (or one of the answers, where two readings are fair);
- `refused`: an error that names a file and says what to do;
- `announced`: the dataset differs, and a warning or an error among its findings names a file that
  is concerned;
- `silently wrong`: the dataset differs, and nothing is said;
- `refused badly`: the error names no file, or says nothing to do;
- `crashed`: an exception that is no `SwathError`.

Run by hand: `python -m tests.data.pair_grammar FIRST LAST` (LAST is included), with
`--keep DIR` to keep the folders, and `--extra` for those of `pair_extras`.
"""

import argparse
import json
import re
import sys
import tempfile
import traceback
import unicodedata
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import swath
from swath.data.dataset import IGNORE, Dataset
from swath.errors import SwathError
from swath.options import PrepareOptions
from tests.data.pair_cases import NONE, TRAPS, Case, make
from tests.data.pair_extras import EXTRAS, make_extra

WORST = ("silently wrong", "crashed", "refused badly")
VERDICTS = ("right", "refused", "announced", *WORST, "skipped")


@dataclass
class Verdict:
    """What came of a case."""

    case: Case
    kind: str
    detail: str = ""


def try_case(seed: int, root: Path, extra: bool = False) -> Verdict:
    """Write a case, prepare it, and judge."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        case = make_extra(seed, root) if extra else make(seed, root)
        known = {option.name for option in fields(PrepareOptions)}
        if case.needs - known:
            return Verdict(case, "skipped", f"no option {', '.join(sorted(case.needs - known))}")
        try:
            swath.prepare(root / "source", root / "dataset", **case.options)
        except SwathError as error:
            return Verdict(case, *(_judge_mend(case, error) or _judge_error(case, error)))
        except Exception as error:  # noqa: BLE001 - is what is looked for
            return Verdict(case, "crashed", _place(error))
        return Verdict(case, *_judge(case, root / "dataset"))


def _place(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{error!r} ({Path(last.filename).name}:{last.lineno})"


MEND = re.compile(r"--(images|labels|label-field|labels-crs) (?:'([^']*)'|([^\s;,)']+))")
"""An option that an error proposes."""


def _judge_mend(case: Case, error: SwathError) -> tuple[str, str] | None:
    """Do as an error says where it names options; return what is wrong with the mend, or None."""
    found = {name.replace("-", "_"): a or b for name, a, b in MEND.findall(error.fix or "")}
    told = {name: value for name, value in found.items() if case.options.get(name) != value}
    if not told or not case.answers or "none" in told.values():
        return None
    said = f"[{error.code}] {error.fix}: "
    try:
        swath.prepare(case.root / "source", case.root / "mended", **case.options | told)
    except SwathError as again:
        if again.code != error.code:
            return None
        return "refused badly", f"the mend brings the same error: {said}{again}"
    except Exception as other:  # noqa: BLE001 - is what is looked for
        return "crashed", said + _place(other)
    # What the user has said need not be told.
    told_case = replace(case, dropped=[], said=[None] * len(case.answers))
    kind, detail = _judge(told_case, case.root / "mended")
    return ("refused badly", f"the mend is {kind}: {said}{detail}") if kind in WORST else None


def _judge_error(case: Case, error: SwathError) -> tuple[str, str]:
    text = _plain(str(error))
    names = {_plain(p.name) for p in case.root.rglob("*") if p.is_file()} - {"classes.yaml"}
    names |= {
        Path(str(case.options[o])).name for o in ("classes", "pairs", "split") if o in case.options
    }
    named = any(name in text for name in names) or Path(error.file or "").is_file()
    named |= "--images " in text and "--labels " in text  # patterns name many files
    named |= error.code == "option-conflict" and "--" in text  # names what is wrong
    shown = f"[{error.code}] {str(error).replace(str(case.root), '')}"
    if not named:
        return "refused badly", f"names no file: {shown}"
    if not (error.fix or "").strip():
        return "refused badly", f"says nothing to do: {shown}"
    return "refused", shown


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _judge(case: Case, folder: Path) -> tuple[str, str]:
    findings = json.loads((folder / "findings.json").read_text(encoding="utf-8"))
    first = ""
    for answer, said in zip(case.answers, case.said, strict=True):
        problems = list(_differences(case, folder, answer, findings))
        if not problems and (said is None or _speaks(findings, said)):
            return "right", ""
        if not problems:
            problems = [(f"right, but no finding speaks of {said}", [])]
        text, files = problems[0]
        first = first or text
        concerned = files or [f for p in case.pieces for f in (*p.images, p.labels)]
        if _warns(findings, concerned):
            return "announced", text
    if not case.answers:
        first = "should not have been prepared"
        if _warns(findings, case.concerned):
            return "announced", first
    return "silently wrong", first


def _speaks(findings: Sequence[dict[str, str]], value: str) -> bool:
    """Return whether a finding is about a code, a class or a word."""
    told = re.compile(rf"(?<![\w.]){re.escape(value)}(?!\w|\.\d)")
    return any(told.search(f["message"]) and ABOUT.search(f["message"]) for f in findings)


def _warns(findings: Sequence[dict[str, str]], files: Sequence[Path | None]) -> bool:
    """Return whether a warning is about one of the files."""
    names = {_plain(f.name) for f in files if f is not None}
    return any(
        f["level"] in ("warning", "error")
        and f["code"] not in UNRELATED
        and (_plain(Path(f["file"]).name) in names or any(n in _plain(f["message"]) for n in names))
        for f in findings
    )


ABOUT = re.compile(
    "no.?data|ignore|unlabel|without label|background|surround|outside|(taken|left) out|pixel|CRS",
    re.IGNORECASE,
)
"""Words of a finding that says what a value was taken for."""

UNRELATED = ("labels-shifted", "single-group", "few-pixels", "duplicate")
"""Warnings about what the images look like, or the split, which is noise here."""


def _differences(
    case: Case, folder: Path, answer: dict[str, NDArray[np.int64]], findings: list[dict[str, str]]
) -> Iterator[tuple[str, list[Path | None]]]:
    """Yield in what a dataset differs from an answer, and the files that are concerned."""
    manifest = Dataset(folder).manifest
    splits: dict[int, set[str]] = defaultdict(set)
    for sample in manifest.samples:
        splits[sample.image].add(sample.split)
    met = {}
    met_pairs: set[tuple[int, int]] = set()
    wanted = {tuple(_resolved(f) for f in p.images): p for p in case.pieces}
    for at, image in enumerate(manifest.images):
        files = tuple(_resolved(f) for f in image.sources)
        piece = wanted.get(files)
        if splits[at] <= {"unlabeled"} and piece is None:
            continue
        if piece is None:
            yield f"no such sample: {[Path(f).name for f in files]}", [Path(f) for f in files]
            continue
        met[files] = piece
        concerned = [*piece.images, piece.labels]
        pixels = np.load(folder / image.pixels)
        valid = np.load(folder / image.valid) if image.valid else np.ones(pixels.shape[:2], bool)
        if not np.array_equal(valid, piece.valid):
            yield f"{piece.name}: validity differs", concerned
        elif _pixels_differ(pixels[valid], piece.pixels.transpose(1, 2, 0)[valid], piece.tolerance):
            yield f"{piece.name}: pixels differ", concerned
        keys = answer[str(piece.images[0])]
        if image.labels is None:
            yield f"{piece.name}: no labels", concerned
            continue
        labels = np.load(folder / image.labels)
        pairs = set(zip(labels.ravel().tolist(), keys.ravel().tolist(), strict=True))
        if any((index == IGNORE) != (key == NONE) for index, key in pairs):
            yield f"{piece.name}: other pixels are labeled", concerned
            continue
        met_pairs |= {(i, k) for i, k in pairs if k != NONE}
        # What no labeled sample is of is drawn from the training samples.
        drawn = {"test", "val"} - {p.split for p in case.pieces}
        if piece.split and not splits[at] <= {piece.split} | (
            drawn if piece.split == "train" else set()
        ):
            yield f"{piece.name}: in {splits[at]}, not {piece.split}", concerned
    for files, piece in wanted.items():
        if files not in met:
            yield f"{piece.name}: not in the dataset", [*piece.images, piece.labels]
    yield from _classes_differ(case, manifest.legend, met_pairs)
    silent = case.dropped and not {"unlabeled", "skip_bad"} & case.options.keys()
    told = _plain("".join(f["file"] + f["message"] for f in findings))
    if silent and not any(_plain(path.name) in told for path in case.dropped):
        yield "left out without a word", list(case.dropped)


def _resolved(path: Path | str) -> str:
    """Return a path, or the name of an array, as one way to write it."""
    return str(Path(path).resolve()).replace(":/", ":")


def _pixels_differ(stored: NDArray[Any], right: NDArray[Any], tolerance: float) -> bool:
    if stored.shape != right.shape:
        return True
    return bool(np.abs(stored.astype(np.float64) - right).max(initial=0) > tolerance)


def _classes_differ(
    case: Case, legend: Any, pairs: set[tuple[int, int]]
) -> Iterator[tuple[str, list[Path | None]]]:
    indices, keys = Counter(i for i, _ in pairs), Counter(k for _, k in pairs)
    if any(n > 1 for n in (*indices.values(), *keys.values())):
        yield "classes are mixed up", []
        return
    trained = [c for c in legend.classes if not c.ignore]
    for index, key in sorted(pairs):
        if not case.same(trained[index], legend.kind, key):
            cls = trained[index]
            yield f"class {key} became {cls.name!r} with codes {cls.codes}", []


def run(first: int, last: int, keep: Path | None = None, *, extra: bool = False) -> list[Verdict]:
    """Try the seeds of a range, its end included; with `extra`, of the further productions."""
    out = []
    for seed in range(first, last + 1):
        with tempfile.TemporaryDirectory(dir=keep) as work:
            root = (keep or Path(work)) / f"case{seed}"
            out.append(try_case(seed, root, extra))
    return out


def summary(verdicts: Sequence[Verdict]) -> str:
    """Return counts, and tables of what went wrong by trap."""
    lines = [f"{len(verdicts)} cases"]
    count = Counter(v.kind for v in verdicts)
    lines += [f"  {kind}: {count[kind]}" for kind in VERDICTS]
    lines.append("\nBy trap: " + ", ".join(VERDICTS))
    for trap in (*TRAPS, *EXTRAS):
        mine = Counter(v.kind for v in verdicts if v.case.trap == trap)
        if mine:
            lines.append(f"  {trap}: " + ", ".join(str(mine[kind]) for kind in VERDICTS))
    for kind in WORST:
        chosen = [v for v in verdicts if v.kind == kind]
        if chosen:
            lines.append(f"\n{kind}:")
        for v in sorted(chosen, key=lambda v: (v.case.trap, v.case.seed)):
            lines.append(
                f"  {v.case.trap} | seed {v.case.seed} | {v.case.label} | {v.detail[:300]}"
            )
    plain = [v for v in verdicts if v.kind == "refused" and v.case.answers and not v.case.dropped]
    if plain:
        lines.append("\nrefused, though there is an answer (often fair):")
        plain.sort(key=lambda v: (v.case.trap, v.case.seed))
        lines += [f"  seed {v.case.seed} | {v.case.label} | {v.detail[:200]}" for v in plain]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int)
    parser.add_argument("--keep", type=Path, help="empty folder in which the cases are kept")
    parser.add_argument("--extra", action="store_true", help="the productions of `pair_extras`")
    args = parser.parse_args()
    if args.keep:
        args.keep.mkdir(parents=True, exist_ok=True)
    verdicts = run(args.first, args.last, args.keep, extra=args.extra)
    print(summary(verdicts))
    sys.exit(any(v.kind in WORST for v in verdicts))


if __name__ == "__main__":
    main()
