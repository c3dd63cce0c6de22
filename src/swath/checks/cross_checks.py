"""Judging samples by each other: what most of them are, which see the same, and what the classes are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np

from swath.checks.duplicates import near_duplicates
from swath.checks.scan import Facts, ImageFacts
from swath.data.layouts import SourceSample
from swath.geo.footprints import overlaps
from swath.legend import Legend
from swath.types import Finding

MOST = 0.75
"""Where this share of the images has one size, another size is odd."""

FAR = 8.0
"""How many robust deviations from the median make an image's brightness or contrast odd."""

CROWD = 8
"""So many images are needed to say what is odd among them."""

UNLIKE = 3.0
"""Images without CRS of which one has so many times the pixels of another may show the ground at other scales."""

RARE = 0.001
"""A class with a smaller share of the labeled pixels is called rare."""

SPARSE = 0.05
"""A source with a smaller share of labeled pixels is called sparsely labeled."""


def check_consistency(
    samples: Sequence[SourceSample], facts: Mapping[str, Facts]
) -> Iterator[Finding]:
    """Judge images by what most of them are."""
    read = [(s, facts[s.name].image) for s in samples if s.name in facts]
    if not read:
        return
    bands, _ = Counter(len(f.bands) for _, f in read).most_common(1)[0]
    dtype, _ = Counter(str(f.dtype) for _, f in read).most_common(1)[0]
    gsds = [f.grid.gsd for _, f in read]
    usual = median([g for g in gsds if g]) if any(gsds) else None
    size, alike = Counter((f.grid.height, f.grid.width) for _, f in read).most_common(1)[0]
    for (sample, fact), gsd in zip(read, gsds, strict=True):
        image = str(sample.images[0])
        if alike >= MOST * len(read) and (fact.grid.height, fact.grid.width) != size:
            yield Finding(
                "warning",
                "odd-size",
                image,
                f"This image is {fact.grid.width}x{fact.grid.height} pixels, and most are {size[1]}x{size[0]}.",
                "Check that it is whole.",
                sample.name,
            )
        if len(fact.bands) != bands:
            yield Finding(
                "error",
                "band-mismatch",
                image,
                f"This image has {len(fact.bands)} band(s) and most have {bands}.",
                "Give all images the same bands, or leave it out (--skip-bad does).",
                sample.name,
            )
        elif str(fact.dtype) != dtype:
            yield Finding(
                "error" if "uint8" in (str(fact.dtype), dtype) else "warning",
                "dtype-mismatch",
                image,
                f"This image is {fact.dtype} and most are {dtype}.",
                "Bring all images to one type and scale, or leave it out (--skip-bad does).",
                sample.name,
            )
        if gsd and usual and not 2 / 3 < gsd / usual < 1.5:
            yield Finding(
                "warning",
                "resolution-mismatch",
                image,
                f"Its pixels are {gsd:.3g} m and most are {usual:.3g} m.",
                "It is shown to the network at the scale of the others; check that its georeferencing is right.",
                sample.name,
            )
    yield from _outliers(
        [(s, f) for s, f in read if len(f.bands) == bands and str(f.dtype) == dtype and f.stats]
    )
    yield from _about_all([f for _, f in read], read[0][0])


def _outliers(read: Sequence[tuple[SourceSample, ImageFacts]]) -> Iterator[Finding]:
    """Yield images whose brightness or contrast, in any band, is far from the rest."""
    if len(read) < CROWD:
        return
    table = np.array([[(s.mean, s.std) for s in fact.stats] for _, fact in read])
    center = np.median(table, axis=0)
    spread = np.median(np.abs(table - center), axis=0) * 1.4826
    # Where all images are much the same, a little more is still nothing odd.
    spread = np.maximum(spread, 0.1 * center[:, 1:] + 1e-9)
    for (sample, fact), deviations in zip(read, (table - center) / spread, strict=True):
        band, which = np.unravel_index(np.abs(deviations).argmax(), deviations.shape)
        worst = float(deviations[band, which])
        if abs(worst) > FAR:
            what = ("mean", "deviation")[which]
            found = fact.stats[band].mean if which == 0 else fact.stats[band].std
            yield Finding(
                "warning",
                "odd-statistics",
                str(sample.images[0]),
                f"The {what} of band {fact.bands[band]} is {found:.4g}, and {center[band, which]:.4g} "
                "in the middle of all images.",
                "Look whether it is scaled, exposed or processed in another way than the rest.",
                sample.name,
            )


def _about_all(facts: Sequence[ImageFacts], first: SourceSample) -> Iterator[Finding]:
    """Yield notes that concern all images together."""
    where = str(first.images[0].parent)
    crs = {f.grid.crs for f in facts if f.grid.crs}
    if len(crs) > 1:
        yield Finding(
            "note",
            "several-crs",
            where,
            f"The images lie in {len(crs)} different CRSs.",
            "Nothing: each is used on its own pixels, and maps keep the CRS of their image.",
        )
    by_size = sorted({(f.grid.height * f.grid.width, f.grid.width, f.grid.height) for f in facts})
    if not crs and by_size[-1][0] > UNLIKE * by_size[0][0]:
        (_, *least), (_, *most) = by_size[0], by_size[-1]
        yield Finding(
            "note",
            "resolution-unknown",
            where,
            f"The images have no CRS and sizes from {least[0]}x{least[1]} to {most[0]}x{most[1]}: how much ground a pixel "
            "shows is unknown, and may differ among them.",
            "Nothing, if scales from 0.5 to 2 cover it (training draws them); else bring all to one resolution.",
        )
    mixed = next(
        (f for f in facts if len(set(f.dtypes)) > 1 or len(set(map(str, f.nodata))) > 1), None
    )
    if mixed:
        each = ", ".join(
            f"{name} {d} (nodata {n:g})" if n is not None else f"{name} {d} (no nodata)"
            for name, d, n in zip(mixed.bands, mixed.dtypes, mixed.nodata, strict=True)
        )
        yield Finding(
            "note",
            "mixed-bands",
            where,
            f"The bands of an image differ in type or nodata value: {each}.",
            "Nothing: a pixel counts where all its bands have data.",
        )
    declared = [f for f in facts if any(n is not None for n in f.nodata)]
    if declared and all(f.valid == f.grid.height * f.grid.width for f in declared):
        values = sorted({f"{n:g}" for f in declared for n in f.nodata if n is not None})
        yield Finding(
            "note",
            "nodata-unused",
            where,
            f"The nodata value {', '.join(values)} is declared, and no pixel of {len(declared)} image(s) holds it.",
            "Check that it is the value that stands for no data.",
        )


def find_duplicates(
    samples: Sequence[SourceSample], facts: Mapping[str, Facts]
) -> list[tuple[SourceSample, SourceSample, bool]]:
    """Return pairs of samples that show the same, each later one once, and whether all their pixels are equal."""
    read = [s for s in samples if s.name in facts and facts[s.name].image.valid]
    first: dict[str, SourceSample] = {}
    found: dict[str, tuple[SourceSample, SourceSample, bool]] = {}
    for sample in read:
        earlier = first.setdefault(facts[sample.name].image.digest, sample)
        if earlier is not sample:
            found[sample.name] = (sample, earlier, True)
    for i, j in near_duplicates([facts[s.name].image.picture for s in read]):
        found.setdefault(read[j].name, (read[j], read[i], False))
    return list(found.values())


def check_duplicates(
    pairs: Sequence[tuple[SourceSample, SourceSample, bool]], facts: Mapping[str, Facts]
) -> Iterator[Finding]:
    """Judge images that show the same."""
    for sample, earlier, equal in pairs:
        labels = (facts[s.name].labels.codes for s in (sample, earlier))
        differ = equal and len({frozenset(codes.items()) for codes in labels}) > 1
        together = sample.group is not None and sample.group == earlier.group
        yield Finding(
            "warning" if equal or not together else "note",
            "duplicate-image" if equal else "near-duplicate",
            str(sample.images[0]),
            f"It has {'the same pixels as' if equal else 'nearly the same picture as'} {earlier.images[0]}"
            + (", but other labels." if differ else "."),
            "Keep one of them" + ("." if together else ", or put both into one group (folder)."),
            sample.name,
        )


def check_overlaps(
    samples: Sequence[SourceSample], facts: Mapping[str, Facts]
) -> Iterator[Finding]:
    """Judge images that see the same ground, and would be split as if they did not."""
    read = [s for s in samples if s.name in facts]
    worst: dict[str, tuple[float, SourceSample, SourceSample]] = {}
    for i, j, share in overlaps(
        [facts[s.name].image.grid for s in read], [s.group or s.name for s in read]
    ):
        a, b = read[i], read[j]
        together = (
            a.group == b.group
            if a.group
            else facts[a.name].image.grid.same_as(facts[b.name].image.grid)
        )
        if not together and share > worst.get(b.name, (0.0,))[0]:
            worst[b.name] = (share, a, b)
    for share, a, b in worst.values():
        yield Finding(
            "warning",
            "same-ground",
            str(b.images[0]),
            f"It sees {share:.0%} of the same ground as {a.images[0]}, which is in another group.",
            "Put both into one group (folder), or one may teach what the other judges.",
            b.name,
        )


def check_classes(
    samples: Sequence[SourceSample], facts: Mapping[str, Facts], legend: Legend, root: Path
) -> Iterator[Finding]:
    """Judge how the classes are spread over all samples."""
    read = [s for s in samples if s.name in facts and s.labels is not None]
    total = sum((facts[s.name].labels.codes for s in read), Counter[int]())
    pixels = [sum(total[code] for code in c.codes) for c in legend.trained]
    everything = sum(pixels)
    if not everything:
        return
    for c, count in zip(legend.trained, pixels, strict=True):
        if 0 < count < RARE * everything:
            yield Finding(
                "note",
                "rare-class",
                str(root),
                f"Class {c.name} has {count} pixels, {count / everything:.3%} of all labels.",
                "Label more of it, merge it into another class, or do not expect it to be learnt.",
            )
        groups = {
            s.group or s.name
            for s in read
            if any(facts[s.name].labels.codes[code] for code in c.codes)
        }
        if len(groups) == 1 < len({s.group or s.name for s in read}):
            yield Finding(
                "note",
                "class-in-one-group",
                str(root),
                f"Class {c.name} is found in group {min(groups)} alone, so only one split can have it.",
                "Label it elsewhere too, or it cannot be both learnt and judged.",
            )
    codes = sorted(code for c in legend.classes for code in c.codes)
    gaps = [b for a, b in zip(codes, codes[1:], strict=False) if b - a > 1]
    if legend.kind == "code" and gaps and legend.found:
        yield Finding(
            "note",
            "code-gaps",
            str(root),
            f"The class codes have gaps: {', '.join(map(str, codes[:30]))}.",
            "Nothing: maps hold the same codes.",
        )
    for sample in read:
        codes_here = facts[sample.name].labels.codes
        held = [c.name for c in legend.classes if any(codes_here[code] for code in c.codes)]
        if len(held) == 1 and len(legend.classes) > 1 and len(read) > 1:
            yield Finding(
                "note",
                "single-class",
                sample.label_file,
                f"It holds a single class, {held[0]}.",
                "Nothing, if that is so.",
            )
    valid = sum(facts[s.name].image.valid for s in read)
    if total.total() < SPARSE * valid:
        yield Finding(
            "note",
            "sparse-labels",
            str(root),
            f"{total.total() / valid:.2%} of all pixels are labeled.",
            "Nothing: pixels without a label are neither learnt nor scored.",
        )
