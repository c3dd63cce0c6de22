"""What every layout provides, and which layout an option belongs to."""

from dataclasses import fields
from typing import get_args, get_type_hints

import pytest

from swath.data.layouts.catalog import Catalog
from swath.data.layouts.layout import LAYOUTS, find_layout
from swath.errors import UsageError
from swath.options import SourceOptions
from tests.errors import fails


def test_each_layout_has_a_name_and_options_of_its_own():
    names = {field.name for field in fields(SourceOptions)}
    own = [option for layout in LAYOUTS.values() for option in layout.OPTIONS]
    assert set(own) <= names and len(set(own)) == len(own)
    layout_type = get_type_hints(SourceOptions)["layout"]
    assert {"auto", *LAYOUTS} == set(get_args(layout_type))


@pytest.mark.parametrize("name", ["pairs", "contest"])
def test_a_layout_returns_a_catalog_even_of_an_empty_folder(tmp_path, name):
    catalog = find_layout(SourceOptions(tmp_path, layout=name))
    assert isinstance(catalog, Catalog) and catalog.layout == name and not catalog.samples
    assert [f.code for f in catalog.findings] == ["no-images"]


def test_auto_takes_pairs_where_no_other_layout_recognizes_the_folder(tmp_path):
    assert find_layout(SourceOptions(tmp_path)).layout == "pairs"
    (tmp_path / "JAX_001_001_RGB.tif").touch()
    assert find_layout(SourceOptions(tmp_path)).layout == "contest"


@pytest.mark.parametrize(
    ("layout", "options"),
    [
        ("pairs", {"images": ["x.tif"]}),
        ("auto", {"label_field": "class"}),
        ("auto", {"bands": "msi"}),
        ("scene", {"images": ["x.tif"], "labels": "y.tif", "bands": "rgb"}),
    ],
)
def test_options_of_another_layout_are_refused(tmp_path, layout, options):
    with fails("option-conflict", UsageError) as caught:
        find_layout(SourceOptions(tmp_path, layout=layout, **options))
    assert f"--{[*options][-1].replace('_', '-')}" in caught.value.message
