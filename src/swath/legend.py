"""Land-cover classes: their names, their codes or colors in source files, and their map codes.

Inside the program a class is an index 0..n-1 of the trained classes, and `IGNORE` marks pixels
without label. Only this module converts from and to the user's codes and colors.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import yaml
from numpy.typing import NDArray

from swath.errors import DataError, UsageError, check_path
from swath.types import PathLike

IGNORE = 255
"""Index of a pixel without label."""

MASKS = "the masks"
"""Origin of classes that are found in the masks rather than named."""

MAX_CLASSES = 254
MAX_CODE = 65535
MAX_TABLE = 1 << 24
"""Range of codes, such as all colors, that is looked up in a table instead of searched."""

_NODATA_CODES = (0, 255, MAX_CODE)

MIN_GAP = 8
"""How many times as far above all others as these lie apart a code that means `ignore` lies."""

_BARE_COLOR = r":\s+#[0-9A-Fa-f]{6}\b"  # YAML takes it for a comment
_PLAIN_NUMBER = r"[-+]?(0|[1-9][0-9]*)"  # which no version of YAML reads as another number
_TYPES = {
    "bool": "true or false",
    "int": "a number",
    "float": "a number",
    "null": "nothing",
    "timestamp": "a date",
    "seq": "a list",
    "map": "a mapping",
}

Kind: TypeAlias = Literal["code", "color"]

# Okabe and Ito (2008), distinct for color-blind people, then a few more of matplotlib's tab20.
_PALETTE = (
    "#0072B2 #E69F00 #009E73 #CC79A7 #D55E00 #56B4E9 #F0E442 #999999 "
    "#8C564B #98DF8A #C5B0D5 #FF9896 #17BECF #BCBD22 #7F7F7F #C49C94"
).split()


@dataclass(frozen=True)
class LandClass:
    """One land-cover class.

    Attributes:
        name: of the class.
        codes: its values in source files: one or several label codes, or packed colors (red *
            65536 + green * 256 + blue).
        map_code: its value in a map, 0..65535.
        color: `#RRGGBB`, for pictures and color tables.
        ignore: whether the class is neither trained nor scored.
        unlabeled: whether the class stands for the absence of a label, and is trained.
    """

    name: str
    codes: tuple[int, ...]
    map_code: int
    color: str
    ignore: bool = False
    unlabeled: bool = False


@dataclass(frozen=True)
class Legend:
    """All classes in the user's order.

    Attributes:
        classes: all classes, the ignored ones too.
        kind: whether source files hold `code`s or `color`s.
        origin: file that names the classes, or `MASKS`.
        snap: take a value of no class for the class whose value is nearest (in RGB); a color that
            is nearest to black has no label where no class is black.

    Raises:
        UsageError: two classes share a name or code, there are too many, or a trained class has a
            code that no map can hold.
    """

    classes: tuple[LandClass, ...]
    kind: Kind = "code"
    origin: str = field(default=MASKS, compare=False)
    snap: bool = False

    def __post_init__(self) -> None:
        self._check_distinct([c.name for c in self.classes], "name", "duplicate-name")
        codes = [code for c in self.classes for code in c.codes]
        shown = list(map(str if self.kind == "code" else unpack_rgb, codes))
        self._check_distinct(shown, self.kind, "duplicate-code")
        if not self.trained:
            message = "No class is left to train"
            fix = "List at least one without `ignore`"
            raise UsageError(message, code="no-classes", file=self.origin, fix=fix)
        if len(self.trained) > MAX_CLASSES:
            message = f"There are {len(self.trained)} classes; at most {MAX_CLASSES} can be trained"
            fix = "Merge classes by giving `code` a list"
            raise UsageError(message, code="too-many-classes", file=self.origin, fix=fix)
        for c in self.trained:
            if not 0 <= c.map_code <= MAX_CODE:
                message = f"Class {c.name} has code {c.map_code}, and maps hold 0 to {MAX_CODE}"
                fix = f"Ignore it, or put a code from 0 to {MAX_CODE} first in its list"
                raise UsageError(message, code="code-range", file=self.origin, fix=fix)
        if self._used.issuperset(_NODATA_CODES):
            used = ", ".join(map(str, _NODATA_CODES))
            message = f"Classes use the codes {used}, so a map has none left for nodata"
            fix = "Leave one of them out, and declare it as the nodata value of the masks"
            raise UsageError(message, code="no-nodata-code", file=self.origin, fix=fix)

    def _check_distinct(self, values: list[str], what: str, code: str) -> None:
        twice = sorted(value for value, count in Counter(values).items() if count > 1)
        if twice:
            message = f"Two classes share the {what} {twice[0]}"
            raise UsageError(message, code=code, file=self.origin, fix="Give each its own")

    @cached_property
    def trained(self) -> tuple[LandClass, ...]:
        """The classes that a network distinguishes; the position is the index."""
        return tuple(c for c in self.classes if not c.ignore)

    @property
    def found(self) -> bool:
        """Whether the classes were found in the masks rather than named."""
        return self.origin == MASKS

    @property
    def names(self) -> list[str]:
        """Names of the trained classes."""
        return [c.name for c in self.trained]

    @cached_property
    def nodata(self) -> int:
        """Nodata value of maps: 0 if no class uses it, else 255, else 65535."""
        return next(code for code in _NODATA_CODES if code not in self._used)

    @cached_property
    def dtype(self) -> str:
        """Smallest dtype that holds every trained code and nodata: `uint8` or `uint16`."""
        largest = max(self.nodata, *(c.map_code for c in self.trained))
        return "uint8" if largest <= 255 else "uint16"

    @cached_property
    def _used(self) -> set[int]:
        """Values of a map, and those that it would have if no codes were merged."""
        merged = {code for c in self.classes for code in c.codes} if self.kind == "code" else set()
        return merged | {c.map_code for c in self.classes}

    @cached_property
    def _table(self) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        index_of = {c.name: i for i, c in enumerate(self.trained)}
        pairs = sorted(
            (code, IGNORE if c.ignore else index_of[c.name])
            for c in self.classes
            for code in c.codes
        )
        keys, indices = zip(*pairs, strict=True)
        return np.array(keys, np.int64), np.array(indices, np.uint8)

    @cached_property
    def _dense(self) -> NDArray[np.uint8] | None:
        """Indices by code, from one below the lowest to one above the highest; None if too long."""
        keys, indices = self._table
        if keys[-1] - keys[0] > MAX_TABLE:
            return None
        table = np.full(keys[-1] - keys[0] + 3, IGNORE, np.uint8)
        table[keys - keys[0] + 1] = indices
        return table

    def all_trained(self) -> Legend:
        """Return the legend with its ignored classes trained as well, and marked as `unlabeled`."""
        classes = tuple(
            replace(c, ignore=False, unlabeled=True) if c.ignore else c for c in self.classes
        )
        return replace(self, classes=classes)

    def of_maps(self) -> Legend:
        """Return the trained classes, each with its map code as its only code."""
        classes = tuple(replace(c, codes=(c.map_code,)) for c in self.trained)
        return Legend(classes, origin=self.origin)

    def known(self, codes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which of `codes` (any shape) belong to a class."""
        keys, _ = self._table
        return np.isin(codes, keys)

    def encode(self, codes: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Convert source codes (any shape, int64) to class indices.

        A code of no class becomes `IGNORE`: `inspect` refuses unknown codes, so it is nodata.
        """
        if self.snap:
            codes = self._snapped(codes)
        keys, indices = self._table
        if self._dense is not None:
            found: NDArray[np.uint8] = self._dense.take(codes - (keys[0] - 1), mode="clip")
            return found
        at = np.minimum(np.searchsorted(keys, codes), len(keys) - 1)
        return np.where(keys[at] == codes, indices[at], np.uint8(IGNORE))

    def _snapped(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Replace each possible color or gray by the nearest one of a class, or by black."""
        values, at = np.unique(codes, return_inverse=True)
        targets = self._table[0]
        if self.kind == "color":
            targets = np.union1d(targets, 0)
        possible = (values >= 0) & (values <= 0xFFFFFF)
        points, ends = (
            parse_rgb(v) if self.kind == "color" else v[:, None]
            for v in (values[possible], targets)
        )
        nearest = [targets[((ends - point) ** 2).sum(axis=1).argmin()] for point in points]
        values[possible] = nearest
        return values[at].reshape(codes.shape)

    def decode(self, indices: NDArray[np.uint8]) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """Convert class indices (any shape) to the codes of a map; `IGNORE` becomes nodata."""
        table = np.full(256, self.nodata, self.dtype)
        table[: len(self.trained)] = [c.map_code for c in self.trained]
        return table[indices]

    def colors(self) -> NDArray[np.uint8]:
        """Return red, green and blue by class index, uint8 (256, 3); unused rows are black."""
        table = np.zeros((256, 3), np.uint8)
        for i, c in enumerate(self.trained):
            table[i] = rgb(c.color)
        return table


def pack_rgb(color: str) -> int:
    """Convert `#RRGGBB` to one number, red * 65536 + green * 256 + blue.

    Raises:
        UsageError: the text is no such color.
    """
    if not re.fullmatch("#[0-9A-Fa-f]{6}", color):
        fix = 'Write it as "#RRGGBB", in quotes'
        raise UsageError(f"The text {color!r} is not a color", code="not-a-color", fix=fix)
    return int(color[1:], 16)


def unpack_rgb(packed: int) -> str:
    """Convert a packed color to `#RRGGBB`."""
    return f"#{packed:06X}"


def rgb(color: str) -> tuple[int, int, int]:
    """Convert `#RRGGBB` to red, green and blue, 0..255."""
    packed = pack_rgb(color)
    return packed >> 16, packed >> 8 & 255, packed & 255


def parse_rgb(packed: NDArray[np.int64]) -> NDArray[np.int64]:
    """Convert packed colors (n,) to red, green and blue (n, 3)."""
    return np.stack([packed >> 16 & 255, packed >> 8 & 255, packed & 255], axis=1)


def default_color(position: int) -> str:
    """Return the color of the class at `position` where the user gives none."""
    return _PALETTE[position % len(_PALETTE)]


def ignore_codes(codes: Collection[int]) -> list[int]:
    """Return the codes that mean `ignore`: 255 or 65535 that stands alone above smaller codes.

    Alone is a code that lies at least `MIN_GAP` times as far above all others as these lie apart;
    there must be two others, since 0 and 255 are one class and its absence.
    """
    found: list[int] = []
    for top in (MAX_CODE, 255):
        below = sorted(code for code in codes if 0 <= code < top)
        if top not in codes or len(below) < 2 or max(codes) > max([top, *found]):
            continue
        widest = max(b - a for a, b in zip(below, below[1:], strict=False))
        if top - below[-1] >= MIN_GAP * widest:
            found.append(top)
    return sorted(found)


def legend_of_codes(
    codes: list[int], kind: Kind, names: dict[int, str] | None = None, snap: bool = False
) -> Legend:
    """Return the legend of the values in masks.

    Args:
        codes: the values; the classes are in their ascending order.
        kind: whether they are codes or packed colors.
        names: code to name; by default the code or color itself.
        snap: see `Legend`.

    Raises:
        DataError: a code is negative, which needs a class list from the user.
    """
    if codes and min(codes) < 0:
        message = f"The masks hold the negative code {min(codes)}"
        raise DataError(message, code="negative-code", fix="Name the classes with --classes FILE")
    names, classes = names or {}, []
    for i, code in enumerate(sorted(codes)):
        if kind == "color":
            color = unpack_rgb(code)
            classes.append(LandClass(color, (code,), i + 1, color))
        else:
            name = names.get(code, str(code))
            classes.append(LandClass(name, (code,), code, default_color(i)))
    return Legend(tuple(classes), kind, snap=snap)


def read_legend(path: PathLike) -> Legend:
    """Read a class file: YAML with a list of `{name, code, color, ignore}`, bare or as `classes`.

    `code` may be a list, which merges codes. If every class has a `code`, masks hold codes and
    `color` is only for pictures; otherwise every class must have a `color`, and a map holds 1, 2,
    ... in the file's order.

    Raises:
        UsageError: the file is not such a list, or YAML reads a value as another type than meant.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        message = "There is no such class file"
        fix = check_path(path, "Check the path given to --classes")
        raise UsageError(message, code="no-such-file", file=path, fix=fix) from None
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable_classes(path, error) from error
    try:
        content = yaml.safe_load(text)
        root = yaml.compose(text, yaml.SafeLoader)
    except (yaml.YAMLError, ValueError) as error:
        for number, line in enumerate(text.splitlines(), 1):
            if re.search(_BARE_COLOR, line):
                bare = _bare_color(number, "A color")
                raise UsageError(bare.message, code=bare.code, file=path, fix=bare.fix) from None
        raise _unreadable_classes(path, error) from error
    rows = content.get("classes") if isinstance(content, dict) else content
    if not isinstance(rows, list) or not rows:
        message = "The class file holds no list of classes"
        fix = "Write `classes:` and one `- {name, code}` a line"
        raise UsageError(message, code="no-class-list", file=path, fix=fix)
    by_code = all(isinstance(row, dict) and row.get("code") is not None for row in rows)
    try:
        _check_nodes(root, text.splitlines())
        classes = tuple(_class_of(row, i, by_code) for i, row in enumerate(rows))
        _check_names([c.name for c in classes])
    except UsageError as error:
        raise UsageError(error.message, code=error.code, file=path, fix=error.fix) from None
    return Legend(classes, "code" if by_code else "color", str(path))


def _unreadable_classes(path: Path, error: Exception) -> UsageError:
    message = f"The class file is not readable YAML ({error})"
    return UsageError(message, code="unreadable", file=path, fix="Mend the file")


def _class_file_error(message: str, fix: str) -> UsageError:
    return UsageError(message, code="class-file", fix=fix)


def _bare_color(line: int, which: str) -> UsageError:
    message = f"{which} in line {line} has no quotes, and YAML takes what follows # for a comment"
    return _class_file_error(message, 'Write it in quotes, as in color: "#FF0000"')


def _check_nodes(root: yaml.Node | None, lines: Sequence[str]) -> None:
    """Check the file as it is written, before YAML turns its texts into other types."""
    if isinstance(root, yaml.MappingNode):
        _check_keys(root, "The class file")
        root = next(value for key, value in root.value if key.value == "classes")
    for i, row in enumerate(root.value if root else (), 1):
        if isinstance(row, yaml.MappingNode):
            _check_keys(row, f"Class {i}")
            for key, value in row.value:
                _check_value(key.value, value, i, lines)


def _check_keys(node: yaml.MappingNode, which: str) -> None:
    counts = Counter(str(key.value) for key, _ in node.value)
    twice = [key for key, count in counts.items() if count > 1]
    if twice:
        line = node.start_mark.line + 1
        message = f"{which} (line {line}) has the key {twice[0]!r} more than once"
        raise _class_file_error(message, "Keep one; write several codes as code: [3, 4]")


def _check_value(key: str, node: yaml.Node, position: int, lines: Sequence[str]) -> None:
    """Check one value of a class.

    Raises:
        UsageError: YAML reads the value as another type than the key takes.
    """
    mark = node.start_mark
    if _tag(node) == "null":
        if "#" in lines[mark.line][mark.column :]:
            raise _bare_color(mark.line + 1, f"The {key} of class {position}")
        if not node.value:
            return
    check = _VALUE_CHECKS.get(key)
    if check is not None:
        check(key, node, f"of class {position} (line {mark.line + 1})")


def _tag(node: yaml.Node) -> str:
    """Return the type that YAML reads a value as."""
    return str(node.tag.rpartition(":")[2])


def _text(node: yaml.Node) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else "a list or mapping"


def _check_text(key: str, node: yaml.Node, where: str) -> None:
    tag, text = _tag(node), _text(node)
    if tag != "str":
        quoted = f'{key}: "{text}"' if isinstance(node, yaml.ScalarNode) else f'{key}: "water"'
        message = f"The {key} {text} {where} is no text: YAML reads it as {_TYPES.get(tag, tag)}"
        raise _class_file_error(message, f"Write it in quotes, as in {quoted}")
    if key == "name" and not text.strip():
        raise _class_file_error(f"The name {where} is empty", "Write a name, or leave the key out")


def _check_flag(key: str, node: yaml.Node, where: str) -> None:
    if _tag(node) != "bool":
        message = f"The {key} {where} is {_text(node)!r}, which is neither true nor false"
        raise _class_file_error(message, f"Write {key}: true or {key}: false, without quotes")


def _check_code(key: str, node: yaml.Node, where: str) -> None:
    for item in node.value if isinstance(node, yaml.SequenceNode) else [node]:
        if _tag(item) == "int" and not re.fullmatch(_PLAIN_NUMBER, item.value):
            number = yaml.safe_load(item.value)
            message = f"The {key} {item.value} {where} is {number} in YAML"
            raise _class_file_error(message, f"Write it as a plain number, such as {key}: 10")


_VALUE_CHECKS: dict[str, Callable[[str, yaml.Node, str], None]] = {
    "name": _check_text,
    "color": _check_text,
    "ignore": _check_flag,
    "code": _check_code,
}


def fold(name: str) -> str:
    """Return a class name without its case, surplus blanks and form of Unicode.

    An accented letter may be one character or two (NFC or NFD), and looks the same.
    """
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _check_names(names: Sequence[str]) -> None:
    """Check that no two class names differ only in case or blanks."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(fold(name), name)
        if other != name:
            message = f"The class names {other!r} and {name!r} differ only in case or blanks"
            raise _class_file_error(message, "Give the classes distinct names, or merge them")


def _class_of(row: object, position: int, by_code: bool) -> LandClass:
    if not isinstance(row, dict):
        fix = "Write it as {name: water, code: 1}"
        raise UsageError(f"Class {position + 1} is not a mapping", code="class-format", fix=fix)
    extra = sorted(set(row) - {"name", "code", "color", "ignore"})
    if extra:
        message = f"Class {position + 1} has the unknown key {extra[0]!r}"
        raise UsageError(message, code="unknown-key", fix="Use name, code, color, ignore")
    color = row.get("color")
    if color is not None:
        color = unpack_rgb(pack_rgb(str(color)))
    if by_code:
        given = row["code"] if isinstance(row["code"], list) else [row["code"]]
        if not given or not all(type(code) is int for code in given):
            message = f"The code of class {position + 1} is no whole number"
            raise UsageError(message, code="class-code", fix="Write it as 3 or [3, 4]")
        codes, map_code = tuple(given), given[0]
    elif color is not None:
        codes, map_code = (pack_rgb(color),), position + 1
    else:
        raise UsageError(
            f"Class {position + 1} has neither code nor color, or only some classes have a code",
            code="class-without-code",
            fix="Give every class a code, or every class a color",
        )
    name = row.get("name")
    if name is None:
        name = map_code if by_code else color
    return LandClass(
        name=str(name),
        codes=codes,
        map_code=map_code,
        color=color or default_color(position),
        ignore=bool(row.get("ignore", False)),
    )
