"""`swath view`: what is put on the page, what is refused, and the command itself."""

import json
import signal
import subprocess
import sys
from urllib.request import urlopen

import numpy as np
import pytest

import swath
from swath.commands import demo
from swath.errors import DataError, JobError
from swath.models.model import Model
from tests.errors import fails
from tests.make import NORTH_UP, UTM, noise, truncate, write_jpeg, write_png, write_raster
from tests.server.test_layer import TABLE, codes_of, write_map


@pytest.fixture
def show():
    """Open pages, and close them at the end; gives the scene."""
    opened = []

    def view(*paths, **options):
        opened.append(swath.view(*paths, open=False, **options))
        with urlopen(f"{opened[-1].url}scene") as answer:
            return json.load(answer)

    yield view
    for page in opened:
        page.close()


def kinds(scene):
    return [row["kind"] for row in scene["layers"]]


def test_what_predict_wrote_beside_a_map_comes_with_it(tmp_path, show):
    path = write_map(tmp_path / "m.tif", codes_of(40, 40))
    write_raster(tmp_path / "m_confidence.tif", noise(40, 40, high=101), UTM, NORTH_UP, nodata=255)
    write_raster(
        tmp_path / "m_probabilities.tif", noise(3, 40, 40, high=101), UTM, NORTH_UP, nodata=255
    )
    image = write_raster(tmp_path / "i.tif", noise(3, 40, 40), UTM, NORTH_UP)
    assert kinds(show(path, image)) == ["image", "map", "probabilities", "confidence"]
    assert kinds(show(path, image, tmp_path / "m_confidence.tif")) == [
        "image",
        "map",
        "probabilities",
        "confidence",
    ]
    assert kinds(show(path)) == ["map", "probabilities", "confidence"]


def test_a_reference_is_read_by_code_by_color_or_by_a_models_classes(tmp_path, show, tiny_model):
    path = write_map(tmp_path / "m.tif", codes_of(40, 40), None, None)
    by_code = write_png(tmp_path / "t.png", codes_of(40, 40, seed=1))
    colors = np.zeros((3, 40, 40), np.uint8)
    for code, color in TABLE.items():
        colors[:, codes_of(40, 40) == code] = np.array(color)[:, None]
    painted = write_png(tmp_path / "p.png", colors)
    for reference, differing in ((by_code, True), (painted, False)):
        scene = show(path, reference=reference)
        assert kinds(scene) == ["reference", "map"] and len(scene["differences"]) == 1
        page = swath.view(path, reference=reference, open=False)
        with urlopen(
            f"{page.url}shares?url=m.tif&other={reference.name}&bbox=0,-0.0003,0.0003,0"
        ) as answer:
            assert (json.load(answer)["differing"] > 0) is differing
        page.close()
    scene = show(path, reference=by_code, classes=tiny_model)
    assert [c["name"] for c in scene["layers"][0]["classes"]] == Model(tiny_model).card.legend.names


def test_a_photograph_of_the_same_size_takes_the_maps_place(tmp_path, show):
    path = write_map(tmp_path / "m.tif", codes_of(40, 60))
    scene = show(path, write_jpeg(tmp_path / "i.jpg", noise(3, 40, 60)))
    assert scene["pixel"] is None and scene["layers"][0]["bounds"] == scene["layers"][1]["bounds"]
    with fails("crs-missing", DataError, "other.jpg"):
        show(path, write_jpeg(tmp_path / "other.jpg", noise(3, 44, 60)))


def test_any_image_can_be_looked_at(tmp_path, show):
    assert kinds(
        show(write_raster(tmp_path / "i.tif", noise(9, 40, 60, dtype="uint16", high=4000)))
    ) == ["image"]
    names = [write_jpeg(tmp_path / f"{i}" / "same.jpg", noise(3, 20, 20)) for i in "ab"]
    assert [row["name"] for row in show(*names)["layers"]] == ["same.jpg", "same-2.jpg"]


def test_what_cannot_be_shown_is_refused(tmp_path, show):
    path = write_map(tmp_path / "m.tif", codes_of(40, 40))
    with fails("no-such-file", DataError, tmp_path / "absent.tif"):
        show(tmp_path / "absent.tif")
    with fails("unsupported-format", DataError, tmp_path / "x.vrt"):
        show(write_raster(tmp_path / "x.vrt", noise(8, 8)))
    with fails("unreadable", DataError, tmp_path / "cut.tif"):
        show(truncate(write_map(tmp_path / "cut.tif", codes_of(40, 40)), 0.01))
    with fails("classes-missing", DataError, tmp_path / "i.jpg"):
        show(
            write_jpeg(tmp_path / "i.jpg", noise(3, 8, 8)),
            reference=write_png(tmp_path / "t.png", noise(8, 8)),
        )
    page = swath.view(path, open=False)
    port = int(page.url.split(":")[2].strip("/"))
    with fails("port-unavailable", JobError) as caught:
        show(path, port=port)
    assert str(port) in caught.value.message and "--port" in caught.value.fix
    page.close()


@pytest.mark.parametrize(
    "stop", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM]
)
def test_the_command_serves_until_it_is_ended(tmp_path, stop):
    path = write_map(tmp_path / "m.tif", codes_of(40, 40))
    command = [
        sys.executable,
        "-c",
        "from swath.cli.main import main; main()",
        "view",
        str(path),
        "--no-open",
        "--json",
    ]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # a job in the background is begun without
    )
    found = json.loads(process.stdout.readline())
    with urlopen(found["url"]) as page:
        assert b"Swath" in page.read()
    assert found["layers"] == ["m.tif"]
    process.send_signal(stop)
    assert process.wait(timeout=20) == 0 and process.stderr.read() == ""


def test_the_demo_says_how_to_look_at_its_map():
    from swath.cli import summaries

    words = ["swath", "view", "my demo/m.tif"]
    result = demo.DemoResult(
        miou=0.5,
        yardstick_miou=0.6,
        map="m",
        report="r",
        model="x",
        seconds=1,
        training_seconds=1,
        view=words,
    )
    assert summaries.demo(result).endswith("Open the viewer: swath view 'my demo/m.tif'")
