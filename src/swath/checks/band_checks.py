"""Checks of bands across images: one order by their names, one scale of their numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from swath.checks.cross_checks import Scanned, listed
from swath.models.band_matching import find_bands, says_something
from swath.types import Finding, Level

FACTORS = (100.0, 256.0, 10_000.0)  # percent, 8 and 16 bits, reflectance times 10000
TOLERANCE = 2.5  # factor by which a factor between two groups of images may be missed
OFFSET = 1000.0  # that Sentinel-2 adds to stored numbers since baseline 04.00
TIGHT = 400.0  # range of the lowest values of a group of images that is decisive
MOST_LISTED = 10


def in_one_order(scanned: Sequence[Scanned]) -> tuple[list[Scanned], list[Finding]]:
    """Return samples whose images have the bands of most, in that order, by their names.

    Further bands of an image are left out. Images whose bands have no names, or that the user has
    chosen (`--select-bands`), stay as they are.
    """
    named = [s for s in scanned if says_something(s.image.bands) and not s.sample.select]
    if not named:
        return list(scanned), []
    ((usual, _),) = Counter(s.image.bands for s in named).most_common(1)
    out, changed, findings = [], [], []
    for s in scanned:
        own = s.image.bands
        if s not in named or own == usual:
            out.append(s)
            continue
        found = find_bands(usual, [[name] for name in own])
        if len(found) != 1:
            findings.append(_other_bands(s, usual))
            out.append(s)
            continue
        out.append(_reordered(s, found.pop()))
        changed.append(s)
    if changed:
        first, listed = changed[0], ", ".join(usual)
        message = (
            f"The bands of {len(changed)} image(s) are taken in the order of most, {listed}; this "
            f"file has {', '.join(first.image.bands)}."
        )
        listed = ",".join(usual)
        fix = f"Nothing to do, if the names are right; --select-bands {listed} says the same."
        findings.append(first.finding("bands-reordered", message, fix, "note"))
    return out, findings


def _reordered(scanned: Scanned, places: Sequence[int]) -> Scanned:
    image = scanned.image

    def picked(values: Sequence[str]) -> tuple[str, ...]:
        return tuple(values[i] for i in places)

    chosen = replace(
        image,
        bands=picked(image.bands),
        dtypes=picked(image.dtypes),
        nodata=tuple(image.nodata[i] for i in places),
        stats=tuple(image.stats[i] for i in places if image.stats),
        dead=tuple(name for name in image.dead if name in picked(image.bands)),
    )
    sample = replace(scanned.sample, select=picked(image.bands))
    return Scanned(sample, replace(scanned.scan, image=chosen))


def _other_bands(scanned: Scanned, usual: Sequence[str]) -> Finding:
    own = scanned.image.bands
    message = f"The image has the bands {', '.join(own)}, and most have {', '.join(usual)}."
    fix = "Leave the image out (--skip-bad does)."
    both = [name for name in usual if name in own]
    if both:
        fix = f"Use the bands that all have (--select-bands {','.join(both)}), or --skip-bad."
    elif len(own) == len(usual):
        numbers = ",".join(map(str, range(1, len(own) + 1)))
        fix = f"If only the names differ, take bands by number (--select-bands {numbers})."
    return scanned.finding("band-mismatch", message, fix, "error")


def check_scales(scanned: Sequence[Scanned]) -> Iterator[Finding]:
    """Yield a finding where two groups of images have numbers of different scale or offset."""
    usable = [s for s in scanned if s.image.stats]
    count = Counter(len(s.image.bands) for s in usable).most_common(1)
    usable = [s for s in usable if count and len(s.image.bands) == count[0][0]]
    wide = [s for s in usable if s.image.dtype.itemsize > 1]
    if len(wide) < 2:
        return
    means, lows, highs = (
        np.array([[getattr(band, name) for band in s.image.stats] for s in wide], np.float64)
        for name in ("mean", "low", "high")
    )
    yield from _check_decibels(wide, means)
    yield from _check_factor(wide, means, highs)
    yield from _check_offset(wide, means, lows)


def _check_decibels(scanned: Sequence[Scanned], means: NDArray[np.float64]) -> Iterator[Finding]:
    """Yield images whose bands have negative means, where those of all others are positive."""
    negative: NDArray[np.bool_] = np.all(means < 0, axis=1)
    if not negative.any() or not (means[~negative] > 0).all() or negative.all():
        return
    odd = negative if 2 * int(negative.sum()) <= len(negative) else np.logical_not(negative)
    what = "means of another sign in all bands, as decibels have beside linear numbers"
    yield _odd_group(scanned, odd, what, "warning")


def check_gray(scanned: Sequence[Scanned]) -> Iterator[Finding]:
    """Yield images whose bands are all equal, where those of most others are not."""
    several = [s for s in scanned if len(s.image.bands) > 1 and s.image.valid]
    gray = [s for s in several if len(s.image.equal) == len(s.image.bands)]
    constant = [s for s in gray if all(band.low == band.high for band in s.image.stats)]
    odd = [s for s in gray if s not in constant]
    if odd and 2 * len(gray) < len(several):
        names = listed([str(s.sample.images[0]) for s in odd], MOST_LISTED)
        message = (
            f"All bands of {len(odd)} image(s) hold the same numbers, unlike those of the others: "
            f"{names}."
        )
        fix = "Check the export: one band was written to all, or the image is gray."
        yield odd[0].finding("equal-bands", message, fix)


def _check_factor(
    scanned: Sequence[Scanned], means: NDArray[np.float64], highs: NDArray[np.float64]
) -> Iterator[Finding]:
    if not ((means > 0).all() and (highs > 0).all()):
        return
    level = np.median(np.log10(means), axis=1)
    small = _lower_group(level)
    if small.all():  # all are of one level
        return
    ratios = np.concatenate(
        [np.median(x[~small], axis=0) / np.median(x[small], axis=0) for x in (means, highs)]
    )
    factor = next((f for f in FACTORS if _near(ratios, f)), None)
    if factor is None:
        return
    what = f"numbers about {factor:.0f} times smaller than those of the other images"
    yield _odd_group(scanned, small, what, "error")


def _near(ratios: NDArray[np.float64], factor: float) -> bool:
    return bool((ratios > factor / TOLERANCE).all() and (ratios < factor * TOLERANCE).all())


def _check_offset(
    scanned: Sequence[Scanned], means: NDArray[np.float64], lows: NDArray[np.float64]
) -> Iterator[Finding]:
    whole = all(s.image.dtype.kind in "iu" for s in scanned)
    above: NDArray[np.bool_] = np.all(lows >= OFFSET, axis=1)
    if not whole or above.all() or not above.any() or (lows[~above] >= OFFSET).any():
        return
    for values in (means, lows):
        shift = np.median(values[above], axis=0) - np.median(values[~above], axis=0)
        if not ((shift > OFFSET / 2) & (shift < 1.5 * OFFSET)).all():
            return
    if (lows[above].min(axis=0) - lows[~above].max(axis=0) < OFFSET / 2).any():
        return
    spread = max(float(np.ptp(lows[group], axis=0).max()) for group in (above, ~above))
    level: Level = "error" if spread < TIGHT else "warning"
    what = (
        "numbers about 1000 larger than those of the other images, as Sentinel-2 has since "
        "baseline 04.00"
    )
    yield _odd_group(scanned, above, what, level)


def _lower_group(level: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which values lie below the widest gap."""
    order = np.sort(level)
    at = int(np.argmax(np.diff(order)))
    below: NDArray[np.bool_] = level <= order[at]
    return below


def _odd_group(
    scanned: Sequence[Scanned], marked: NDArray[np.bool_], what: str, level: Level
) -> Finding:
    odd = [s for s, is_odd in zip(scanned, marked, strict=True) if is_odd]
    names = listed([str(s.sample.images[0]) for s in odd], MOST_LISTED)
    message = f"{len(odd)} of {len(scanned)} images have {what}: {names}."
    fix = (
        "Give images of one scale: leave one kind out by a pattern (--images), or give products "
        "(such as .SAFE folders), whose scale and offset are read."
    )
    file = str(odd[0].sample.images[0])
    return Finding(level, "mixed-scales", file, message, fix)
