"""`swath inspect`: what is in a source folder, and what is wrong with it."""

from __future__ import annotations

from collections import Counter

from swath.checks import Survey, survey
from swath.commands.against import OodResult, compare_with_training
from swath.commands.base import command
from swath.data.layouts import Catalog, find_layout
from swath.errors import DataError, JobError
from swath.legend import read_legend
from swath.options import InspectOptions, SourceOptions
from swath.types import Finding, Result


class ClassCount(Result):
    """A class as it was found: `code` is what a map would hold, `pixels` its labeled pixels."""

    name: str
    code: int
    pixels: int


class InspectResult(Result):
    """What was found.

    Attributes:
        layout: that was found; `image` where an image was held against a model.
        images: their number.
        bands: of most images.
        groups: of the images.
        classes: as they were found.
        findings: dictionaries with level, code, file, message and fix, errors first.
        report: path of the page, if one was asked for.
        likeness: how unlike a model's training data the image is, if that was asked for.
    """

    layout: str
    images: int
    bands: list[str]
    groups: list[str]
    classes: list[ClassCount]
    findings: list[dict[str, str]]
    report: str | None = None
    likeness: OodResult | None = None

    @property
    def ok(self) -> bool:
        """Whether there is no error among the findings."""
        return all(f["level"] != "error" for f in self.findings)


@command(InspectOptions)
def inspect(options: InspectOptions) -> InspectResult:
    """Read all of a source folder and say what is there and what is wrong, even that there is no such folder.

    With `against`, the source is an image, and is held against the training data of a model.

    Raises:
        ModelError: the model is damaged, or does not know what its training data were like.
        UsageError: the class file or an option is wrong.
        JobError: the report cannot be written, or its packages are missing.
    """
    if options.against is not None:
        return _against(options)
    found = survey_of(options)
    result = summarize(found)
    if options.report is None:
        return result
    try:
        from swath.reports.inspection import write_findings
    except ImportError as error:
        raise JobError(
            f"the report needs {error.name}", fix='Run `pip install "swath[report]"`'
        ) from error
    page = write_findings(options.report, found, result.model_dump(mode="json"))
    return result.model_copy(update={"report": str(page)})


def _against(options: InspectOptions) -> InspectResult:
    likeness, bands, findings = compare_with_training(options)
    return InspectResult(
        layout="image",
        images=1,
        bands=bands,
        groups=[],
        classes=[],
        findings=[f.as_json() for f in findings],
        likeness=likeness,
    )


def survey_of(options: SourceOptions) -> Survey:
    """Find the samples of a source folder and let the doctor read them; files that cannot be found or opened are findings too.

    Raises:
        UsageError: the class file or an option is wrong.
    """
    legend = read_legend(options.classes) if options.classes is not None else None
    try:
        catalog = find_layout(options)
    except DataError as error:
        catalog = Catalog(
            options.root, options.layout, (), (Finding.of_error(error, options.root),)
        )
    return survey(catalog, legend or catalog.legend, options.snap_colors)


def summarize(found: Survey) -> InspectResult:
    """Put a survey into plain words and numbers."""
    classes = []
    if found.legend:
        for c in found.legend.classes:
            pixels = sum(
                fact.labels.codes[code] for fact in found.facts.values() for code in c.codes
            )
            classes.append(ClassCount(name=c.name, code=c.map_code, pixels=pixels))
    bands = Counter(fact.image.bands for fact in found.facts.values()).most_common(1)
    return InspectResult(
        layout=found.catalog.layout,
        images=len(found.catalog.samples),
        bands=list(bands[0][0]) if bands else [],
        groups=sorted({s.group for s in found.catalog.samples if s.group is not None}),
        classes=classes,
        findings=[f.as_json() for f in found.findings],
    )
