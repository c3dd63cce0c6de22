"""Checks of the label values of all samples together: nodata, ignore values, single classes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from swath.checks.cross_checks import Scanned
from swath.checks.label_checks import LabelMeaning
from swath.io.labels import lie_apart, missing_image
from swath.io.vector import Features
from swath.legend import Legend, fold, ignore_codes, unpack_rgb
from swath.types import Finding, Level

MIN_TAKEN = 0.05  # share of a mask that nodata evidently takes from a class, not from a border
MIN_ZEROS_OUTSIDE = 0.95  # share of code 0 that lies where the images have no data
MIN_HIDDEN = 0.95  # share of a class that nodata or alpha hides, so that hardly any is trained
MAX_DRAWN_HIDDEN = 0.1  # share of the pixels of polygons and points that nodata or alpha may hide
MIN_TRANSPARENT = 0.01  # share of the masks that holds a value only where alpha hides it
VOID_NAMES = frozenset(
    "unknown|unlabeled|unclassified|undefined|none|null|nan|na|n/a|nodata|no data|"
    "not available|no label|ignore|?|-|.".split("|")
)
VOID_CODES = (99, 255, 999, 9999, 65535)  # that often mean no label, in layers of smaller codes
MIN_NUMBERED = 3  # classes from which masks of two numberings are told
MIN_ZERO_BORDER = 0.99  # share of the border that has code 0 if that surrounds all classes


def check_codes(scanned: Sequence[Scanned], meaning: LabelMeaning, root: Path) -> Iterator[Finding]:
    """Yield values that are taken for no label, and code 0 where it may mean that."""
    labeled = [s for s in scanned if s.sample.labels is not None]
    codes = sum((s.scan.labels.codes for s in labeled), Counter[int]())
    yield from _check_nodata(labeled, codes, meaning)
    if meaning.kind == "code" and meaning.legend is None and not _are_named(labeled):
        yield from _check_ignored(codes, root)
        yield from _check_zero(labeled, codes, root)
        yield from _check_two_numberings(labeled, codes)


def _are_named(scanned: Sequence[Scanned]) -> bool:
    return any(s.scan.labels.names for s in scanned)


def _check_nodata(
    labeled: Sequence[Scanned], codes: Counter[int], meaning: LabelMeaning
) -> Iterator[Finding]:
    """Yield the nodata values that took labels out; a warning where they evidently were a class."""
    by_value: dict[float, list[Scanned]] = defaultdict(list)
    for s in labeled:
        if s.scan.labels.nodata is not None and s.scan.labels.nodata_pixels:
            by_value[s.scan.labels.nodata].append(s)
    for value, holders in sorted(by_value.items()):
        pixels = sum(s.scan.labels.nodata_pixels for s in holders)
        share = pixels / (pixels + codes.total())
        level: Level = "note"
        if meaning.kind == "code" and share >= MIN_TAKEN and _completes(value, +codes):
            level = "warning"
        files = {s.sample.label_file for s in holders}
        message = (
            f"The value {value:g} is declared as nodata in {len(files)} mask(s): {pixels} pixels "
            f"({share:.1%}) have no label."
        )
        fix = f"If {value:g} is a class, name it in --classes FILE; classes there win over nodata."
        yield Finding(level, "mask-nodata", holders[0].sample.label_file, message, fix)


def _completes(value: float, codes: Counter[int]) -> bool:
    """Return whether a value and codes, small ones without it, have no gap."""
    if value < 0 or value != round(value) or len(codes) < 2:
        return False
    joined = {int(value), *codes}
    return max(joined) - min(joined) == len(joined) - 1 and min(joined) in (0, 1)


def _check_ignored(codes: Counter[int], root: Path) -> Iterator[Finding]:
    held = +codes
    ignored = ignore_codes(held)
    for code in ignored:
        message = f"Code {code} stands alone above all others, so its {codes[code]} pixels are "
        message += "ignored: they have no label."
        fix = f"If {code} is a class, name all classes in --classes FILE."
        yield Finding("warning", "ignore-value", str(root), message, fix)
    top = max(held, default=0)
    if top in (255, 65535) and top not in ignored and len(held) == 2 and min(held) == 1:
        message = f"The masks hold the codes 1 and {top}, and {top} often means ignore."
        fix = f"If so, name the classes in --classes FILE, with ignore: true for {top}."
        yield Finding("warning", "ignore-value", str(root), message, fix)


def _check_zero(labeled: Sequence[Scanned], codes: Counter[int], root: Path) -> Iterator[Finding]:
    others = [code for code in codes if code and codes[code] and code not in ignore_codes(codes)]
    if not codes[0] or not others:
        return
    outside = sum(s.scan.labels.zeros_outside for s in labeled)
    border, zeros = map(sum, zip(*(s.scan.labels.border for s in labeled), strict=True))
    if outside >= MIN_ZEROS_OUTSIDE * codes[0]:
        where = f"{outside} of the {codes[0]} pixels with code 0 lie where the images have no data"
    elif border and zeros >= MIN_ZERO_BORDER * border:
        where = f"Code 0 surrounds all others: {zeros} of {border} pixels along the borders have it"
    else:
        return
    fix = (
        "If 0 means no data, name the classes in --classes FILE, with {name: none, code: 0, "
        "ignore: true}; if it is a class, name it there."
    )
    binary = len(others) == 1 and not outside  # masks of one object and its background
    level: Level = "note" if binary else "warning"
    yield Finding(level, "code-zero", str(root), f"{where}. Is it a class?", fix)


def _check_two_numberings(labeled: Sequence[Scanned], codes: Counter[int]) -> Iterator[Finding]:
    """Yield a warning where some masks hold the codes 0 to n - 1, and the others 1 to n."""
    top = max(+codes, default=0)
    sets = {s.sample.label_file: frozenset(+s.scan.labels.codes) for s in labeled}
    from_zero = [file for file, held in sets.items() if held == frozenset(range(top))]
    from_one = [file for file, held in sets.items() if held == frozenset(range(1, top + 1))]
    mixed = any({0, top} <= held for held in sets.values())
    if top < MIN_NUMBERED or mixed or min(len(from_zero), len(from_one)) < 2:
        return
    message = (
        f"{len(from_zero)} masks hold the codes 0 to {top - 1}, such as {from_zero[0]}, and "
        f"{len(from_one)} the codes 1 to {top}, such as {from_one[0]}: no mask has both 0 and "
        f"{top}. One class may have two codes."
    )
    fix = "Give all masks one numbering, or name the classes in --classes FILE if they have one."
    yield Finding("warning", "two-numberings", from_zero[0], message, fix)


def check_hidden_classes(
    scanned: Sequence[Scanned], legend: Legend, root: Path
) -> Iterator[Finding]:
    """Yield trained classes that lie nearly all where images, or their masks, have no data."""
    labeled = [s for s in scanned if s.sample.labels is not None]
    codes = sum((s.scan.labels.codes for s in labeled), Counter[int]())
    hidden = sum((s.scan.labels.hidden for s in labeled), Counter[int]())
    for c in legend.trained:
        held, lost = (sum(counts[code] for code in c.codes) for counts in (codes, hidden))
        if held and lost >= MIN_HIDDEN * held and not (legend.found and 0 in c.codes):
            message = (
                f"Class {c.name} is hidden: {lost} of its {held} pixels lie where the images have "
                "no data (nodata or alpha), and are not trained."
            )
            fix = "Check the images' nodata value and alpha band, or leave the class out."
            yield Finding("warning", "class-hidden", str(root), message, fix)
    for s in labeled:
        held, lost = s.scan.labels.codes.total(), s.scan.labels.hidden.total()
        if isinstance(s.sample.labels, Features) and lost > MAX_DRAWN_HIDDEN * held:
            message = (
                f"{lost} of {held} labeled pixels lie where the image has no data (nodata or "
                "alpha), and are not trained."
            )
            fix = "Check the image's nodata value and alpha band, and the place of the labels."
            yield s.finding("labels-hidden", message, fix)
    yield from _check_transparent(labeled, codes, legend)


def check_void_names(scanned: Sequence[Scanned], legend: Legend, root: Path) -> Iterator[Finding]:
    """Yield classes of layers whose name or code often means no label, unless the user has them."""
    layers = [s for s in scanned if isinstance(s.sample.labels, Features)]
    if not legend.found or not layers:
        return
    codes = sum((s.scan.labels.codes for s in layers), Counter[int]())
    numbers = [int(c.name) for c in legend.trained if c.name.isdecimal()]
    numbers = numbers if len(numbers) == len(legend.trained) > 2 else []
    small = [n for n in numbers if n not in VOID_CODES]
    for c in legend.trained:
        odd = (
            c.name.isdecimal()
            and int(c.name) in VOID_CODES
            and small
            and max(small) < min(VOID_CODES)
        )
        if fold(c.name).replace("lle", "le") in VOID_NAMES or odd:
            pixels = sum(codes[code] for code in c.codes)
            message = (
                f"Class {c.name} ({pixels} pixels) is trained, and its name often means no label."
            )
            fix = (
                "If so, delete its features, or name the classes in --classes FILE, with "
                "ignore: true for this one."
            )
            yield Finding("warning", "ignore-value", str(root), message, fix)


def _check_transparent(
    labeled: Sequence[Scanned], codes: Counter[int], legend: Legend
) -> Iterator[Finding]:
    """Yield values of masks that are evidently classes, and that the masks' alpha hides."""
    values = sum((s.scan.labels.transparent for s in labeled), Counter[int]())
    least = MIN_TRANSPARENT * (codes.total() + values.total())
    known = {code for c in legend.trained for code in c.codes}
    shown = unpack_rgb if legend.kind == "color" else "code {}".format
    for value, count in values.most_common():
        if count >= least and count >= MIN_HIDDEN * (count + codes[value]):
            holder = next(s for s in labeled if s.scan.labels.transparent[value])
            what = f"The value {shown(value)}" + (", a class," if value in known else "")
            message = (
                f"{what} is transparent in the masks: {count} pixels have no label for their alpha "
                f"of 0, and {codes[value]} have this value and are opaque."
            )
            fix = "If it is a class, export the masks without an alpha band."
            yield Finding("warning", "class-hidden", holder.sample.label_file, message, fix)


def check_single_class(scanned: Sequence[Scanned], legend: Legend, root: Path) -> Iterator[Finding]:
    """Yield a finding where the labels hold one trained class only.

    It is a warning where a layer names others that have no pixel; `train` refuses such a dataset.
    """
    codes = sum((s.scan.labels.codes for s in scanned), Counter[int]())
    held = [c for c in legend.trained if any(codes[code] for code in c.codes)]
    if len(held) != 1:
        return
    message = (
        f"The labels hold one class only, {held[0].name}, which nothing can be told from: "
        "every score would be perfect."
    )
    layers = [s.sample.labels for s in scanned if isinstance(s.sample.labels, Features)]
    taken = [s for s in scanned if s.scan.labels.nodata_pixels]
    if layers:
        yield _one_class_in_layers(message, layers, held[0].name, root)
    elif taken:
        value = f"{taken[0].scan.labels.nodata:g}"
        files = {s.sample.label_file for s in taken}
        message += f" The value {value} is declared as nodata in {len(files)} mask(s)."
        fix = f"If {value} is a class, name it in --classes FILE; else label a second class."
        yield Finding("error", "single-class", taken[0].sample.label_file, message, fix)
    else:
        fix = "Label a second class, or name it in --classes FILE."
        yield Finding("error", "single-class", str(root), message, fix)


def _one_class_in_layers(
    message: str, layers: Sequence[Features], held: str, root: Path
) -> Finding:
    named = {str(value) for layer in layers for value in layer.values.tolist()}
    lost = sorted(named - {held})
    fix = "Name what no polygon covers (--background NAME), or add polygons of a second class."
    if lost:
        message += (
            f" No pixel is left of {', '.join(lost)}: all its features are hidden by others, "
            "too small or outside of the images."
        )
        fix += " --priority FIELD says which features lie on top."
    message = " ".join([message, *(f.message for layer in layers for f in layer.findings)])
    level: Level = "warning" if lost else "error"
    return Finding(level, "single-class", str(root), message, fix)


def check_label_places(scanned: Sequence[Scanned]) -> Iterator[Finding]:
    """Yield label rasters of many images that touch none of them."""
    by_file: dict[str, list[Scanned]] = defaultdict(list)
    for s in scanned:
        if s.scan.labels.grid is not None:
            by_file[s.sample.label_file].append(s)
    for file, users in by_file.items():
        grids = [(s.scan.labels.grid, s.image.grid) for s in users]
        apart = [(own, image) for own, image in grids if own is not None and lie_apart(own, image)]
        if len(apart) == len(grids):
            error = missing_image(*apart[0], file)
            if len(users) > 1:
                first = users[0].sample.images[0].name
                error.message = f"None of {len(users)} images is met, as {first}. {error.message}"
            yield Finding.of_error(error, file)
