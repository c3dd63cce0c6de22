"""Models are listed in folders and catalogs, and what is fetched is what the catalog says."""

from __future__ import annotations

import hashlib
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

import pystac
import pytest

import swath
from swath.cli.main import main
from swath.errors import DataError, JobError, ModelError, SwathError, UsageError
from swath.io import web
from swath.models.catalog import reading
from swath.models.catalog.linked_file import LinkedFile
from swath.models.model_file import ModelFile
from tests.errors import fails
from tests.make import write_model
from tests.models.catalog.conftest import Site

NAMES = ["blue", "green", "red"]


@pytest.fixture
def published(site: Site) -> str:
    """Return the address of a catalog of two models."""
    write_model(site.folder / "fields.swath", names=NAMES, card={"gsd": 10.0})
    write_model(site.folder / "my clouds.swath", bands=2)
    swath.catalog(site.folder, write_catalog=True, license="CC-BY-4.0")
    return f"{site.url}/catalog.json"


def edit(path: Path, change: Callable[[Any], object]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def edit_asset(site: Site, **fields: object) -> None:
    """Change fields of the asset of `fields`; None removes one."""

    def change(item: Any) -> None:
        for key, value in fields.items():
            item["assets"]["model"][key.replace("_", ":")] = value
            if value is None:
                del item["assets"]["model"][key.replace("_", ":")]

    edit(site.folder / "fields.swath.json", change)


def refused(catalog: str, code: str, kind: type[SwathError], target: Path) -> str:
    """Fetch `fields`, which fails and leaves nothing; return the error."""
    with fails(code, kind) as caught:
        swath.catalog(catalog, "fields", target / "new" / "m.swath")
    assert not (target / "new").exists() or list((target / "new").iterdir()) == []
    return str(caught.value)


def test_models_of_a_folder(tmp_path: Path) -> None:
    path = write_model(tmp_path / "a.swath", names=NAMES, card={"gsd": 10.0})
    (tmp_path / "broken.swath").write_bytes(b"x" * 100)
    result = swath.catalog(tmp_path)
    (model,) = result.models
    assert (model.name, model.bands, model.gsd) == ("a", NAMES, 10.0)
    assert model.classes == {"1": 1, "2": 2, "3": 3} and model.license is None
    assert model.bytes == path.stat().st_size
    assert len(result.warnings) == 1 and "broken.swath" in result.warnings[0]
    assert swath.catalog(path).models == [model]
    with fails("damaged-model", ModelError):
        swath.catalog(tmp_path, write_catalog=True)
    assert not (tmp_path / "catalog.json").exists()


def test_a_catalog_that_is_written_is_read_on_the_web_and_on_disk(
    site: Site, published: str, tmp_path: Path
) -> None:
    here, there = swath.catalog(site.folder / "catalog.json"), swath.catalog(published)
    assert [m.name for m in there.models] == ["fields", "my clouds"] and not there.warnings
    assert [m.model_dump(exclude={"file"}) for m in here.models] == [
        m.model_dump(exclude={"file"}) for m in there.models
    ]
    fields = there.models[0]
    assert (fields.bands, fields.gsd, fields.license) == (NAMES, 10.0, "CC-BY-4.0")
    digest = hashlib.sha256((site.folder / "fields.swath").read_bytes()).hexdigest()
    assert fields.sha256 == digest
    for catalog in (published, site.folder / "catalog.json"):
        done = swath.catalog(catalog, "my clouds", tmp_path / "new" / "m.swath")
        assert done.file == str(tmp_path / "new" / "m.swath") and done.warnings == []
        assert ModelFile(done.file).digest == done.models[0].sha256 == there.models[1].sha256
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["m.swath"]


def test_other_programs_read_the_catalog(site: Site, published: str) -> None:
    (site.folder / "my clouds.swath").rename(site.folder / "clouds.swath")
    swath.catalog(site.folder, write_catalog=True)  # its own files are replaced
    catalog = pystac.Catalog.from_file(str(site.folder / "catalog.json"))
    items = list(catalog.get_items())
    assert [item.id for item in items] == ["clouds", "fields"]
    assert items[0].properties["mlm:framework"] == "ONNX"
    asset = items[0].assets["model"]
    assert asset.get_absolute_href() == str(site.folder / "clouds.swath")
    assert asset.extra_fields["file:size"] == (site.folder / "clouds.swath").stat().st_size


def test_a_foreign_catalog_is_not_replaced(tmp_path: Path) -> None:
    write_model(tmp_path / "catalog.swath")
    (tmp_path / "catalog.json").write_text('{"mine": 1}')
    with fails("foreign-file", JobError, file=tmp_path / "catalog.json"):
        swath.catalog(tmp_path, write_catalog=True)
    (tmp_path / "catalog.json").unlink()
    read = Mock(side_effect=ModelFile)
    with patch.object(reading, "ModelFile", read):
        result = swath.catalog(tmp_path, write_catalog=True)
    assert read.call_count == 1
    assert [m.name for m in swath.catalog(str(result.catalog)).models] == ["catalog"]


def test_nested_catalogs_and_single_items(site: Site, published: str) -> None:
    root = {"type": "Collection", "stac_version": "1.0.0", "id": "root"}
    root["links"] = [{"rel": "child", "href": "catalog.json"}, {"rel": "self", "href": "x.json"}]
    (site.folder / "root.json").write_text(json.dumps(root))
    assert len(swath.catalog(f"{site.url}/root.json").models) == 2
    assert len(swath.catalog(f"{site.url}/fields.swath.json").models) == 1
    assert "/x.json" not in site.asked


def test_a_name_that_is_unknown_or_not_unique(site: Site, published: str, tmp_path: Path) -> None:
    with fails("model-unknown", DataError) as caught:
        swath.catalog(published, "field", tmp_path / "m.swath")
    assert caught.value.fix == "Choose one of: fields"
    edit(site.folder / "my clouds.swath.json", lambda item: item.update(id="fields"))
    refused(published, "name-ambiguous", DataError, tmp_path)


def test_digest_and_size_are_checked(site: Site, published: str, tmp_path: Path) -> None:
    file = site.folder / "fields.swath"
    good, size = file.read_bytes(), file.stat().st_size
    file.write_bytes(bytes([*good[:-1], good[-1] ^ 1]))
    refused(published, "digest-differs", DataError, tmp_path)
    file.write_bytes(good[:-1])
    refused(published, "truncated-download", JobError, tmp_path)
    file.write_bytes(good + b"x")
    refused(published, "too-large", DataError, tmp_path)
    file.write_bytes(good)
    for value in (0, "9", 1 << 60):
        edit_asset(site, file_size=value)
        refused(published, "file-size", DataError, tmp_path)
    edit_asset(site, file_size=size, file_checksum=None)
    refused(published, "digest-missing", DataError, tmp_path)
    for value in ("1114" + "0" * 40, "1220" + "0" * 63, "1220" + "g" * 64, 5):
        edit_asset(site, file_checksum=value)
        refused(published, "digest-kind", DataError, tmp_path)
    edit_asset(site, file_checksum="1220" + hashlib.sha256(good).hexdigest().upper())
    edit_asset(site, file_size=None)
    assert swath.catalog(published, "fields", tmp_path / "m.swath").models[0].bytes == size


def test_what_is_fetched_is_checked_as_models_are(
    site: Site, published: str, tmp_path: Path
) -> None:
    content = b"PK not a model"
    (site.folder / "fields.swath").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    edit_asset(site, file_size=len(content), file_checksum="1220" + digest)
    text = refused(published, "damaged-model", ModelError, tmp_path)
    assert text.startswith(f"{site.url}/fields.swath: ")


def test_an_older_model_stays_if_the_fetch_fails(
    site: Site, published: str, tmp_path: Path
) -> None:
    path = write_model(tmp_path / "m.swath", bands=5)
    before = path.read_bytes()
    edit_asset(site, file_checksum="1220" + "0" * 64)
    with fails("digest-differs"):
        swath.catalog(published, "fields", path)
    assert path.read_bytes() == before
    with fails("output-is-input", UsageError):
        swath.catalog(site.folder / "catalog.json", "my clouds", site.folder / "my clouds.swath")


def test_a_file_that_is_not_as_listed_is_told(site: Site, published: str, tmp_path: Path) -> None:
    card = "swath:card"
    change = {"gsd": 20.0}
    edit(site.folder / "fields.swath.json", lambda i: i["properties"][card].update(change))
    result = swath.catalog(published, "fields", tmp_path / "m.swath")
    assert len(result.warnings) == 1 and "gsd" in result.warnings[0]
    assert result.models[0].gsd == 10.0


def test_a_connection_that_ends_too_early(site: Site, published: str, tmp_path: Path) -> None:
    good = (site.folder / "fields.swath").read_bytes()
    site.send("/fields.swath", good[:50], len(good))
    refused(published, "truncated-download", JobError, tmp_path)
    site.send("/fields.swath", good[:50])
    refused(published, "truncated-download", JobError, tmp_path)
    site.send("/fields.swath", good * 2)
    refused(published, "too-large", DataError, tmp_path)


@pytest.mark.parametrize(
    "link",
    [
        *("file:///etc/passwd.swath", "ftp://127.0.0.1/m.swath", "data:,x.swath"),
        *("../m.swath", "/../m.swath", "a/%2e%2e/%2E%2e/m.swath", "..%5cm.swath", "c:\\m.swath"),
        *("http://[/m.swath", "\x00.swath"),
    ],
)
def test_links_of_assets_that_are_refused(
    site: Site, published: str, tmp_path: Path, link: str
) -> None:
    write_model(tmp_path / "m.swath")
    edit_asset(site, href=link)
    (site.folder / "sub").mkdir()
    for name in ("fields.swath.json", "my clouds.swath.json", "catalog.json"):
        (site.folder / name).rename(site.folder / "sub" / name)
    code = "item-assets" if link.startswith("http://[") else "link-refused"
    listed = swath.catalog(f"{site.url}/sub/catalog.json")
    assert [m.name for m in listed.models] == ["my clouds"] and len(listed.warnings) == 1
    refused(f"{site.url}/sub/catalog.json", code, DataError, tmp_path)
    if "\\" not in link and "%5c" not in link:
        refused(str(site.folder / "sub" / "catalog.json"), code, DataError, tmp_path)


def test_links_on_a_disk_do_not_leave_the_folder(tmp_path: Path) -> None:
    write_model(tmp_path / "secret.swath")
    (tmp_path / "a").mkdir()
    write_model(tmp_path / "a" / "m.swath")
    (tmp_path / "a" / "linked.swath").symlink_to(tmp_path / "secret.swath")
    place = LinkedFile.of(tmp_path / "a" / "catalog.json")
    assert place.follow("./m.swath").href == str(tmp_path / "a" / "m.swath")
    for link in ("../secret.swath", str(tmp_path / "secret.swath"), "linked.swath", "//host/x"):
        with fails("link-refused", DataError):
            place.follow(link)


def test_links_do_not_lead_from_https_to_http() -> None:
    place = LinkedFile.of("https://a.org/models/catalog.json")
    assert place.follow("https://b.org/x/i.json") == LinkedFile(
        "https://b.org/x/i.json", "https://b.org/x/"
    )
    with fails("link-refused", DataError):
        place.follow("http://a.org/models/m.swath")
    assert web.is_downgrade("https://a", "http://a") and not web.is_downgrade(
        "http://a", "https://a"
    )


def test_redirects(site: Site, published: str, tmp_path: Path) -> None:
    site.redirect("/fields.swath", f"{site.url}/moved")
    site.redirect("/moved", "again")
    site.send("/again", (site.folder / "fields.swath").read_bytes())
    assert swath.catalog(published, "fields", tmp_path / "m.swath").models[0].name == "fields"
    for target in ("file:///etc/passwd", "ftp://127.0.0.1/m.swath", "/moved", "gopher://x"):
        site.redirect("/moved", target)
        refused(published, "redirect-refused", DataError, tmp_path)
    site.redirect("/catalog.json", "file:///etc/passwd")
    refused(published, "redirect-refused", DataError, tmp_path)


def test_a_catalog_that_links_to_itself(site: Site, published: str) -> None:
    def link(target: str) -> dict[str, object]:
        links = [{"rel": "child", "href": target}]
        return {"type": "Catalog", "stac_version": "1.0.0", "id": "c", "links": links}

    for name, target in (("a", "b"), ("b", "a")):
        (site.folder / f"{name}.json").write_text(json.dumps(link(f"{target}.json")))
    with fails("catalog-loop", DataError):
        swath.catalog(f"{site.url}/a.json")


def test_a_catalog_of_hostile_size(
    site: Site, published: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(request: Any) -> None:
        number = int(request.path.removeprefix("/n").removesuffix(".json"))
        links = [{"rel": "child", "href": f"n{number + 1}.json"}]
        content = {"type": "Catalog", "stac_version": "1.0.0", "id": "c", "links": links}
        request.send_response(200)
        request.end_headers()
        request.wfile.write(json.dumps(content).encode())

    site.answers = {f"/n{n}.json": endless for n in range(100)}
    with fails("catalog-size", DataError):
        swath.catalog(f"{site.url}/n0.json")
    assert len(site.asked) < 30
    monkeypatch.setattr(reading, "MAX_LINKS", 1)
    with fails("catalog-size", DataError):
        swath.catalog(published)
    monkeypatch.undo()
    monkeypatch.setattr(reading, "MAX_CATALOG_BYTES", 3000)
    with fails("catalog-size", DataError):
        swath.catalog(published)
    monkeypatch.setattr(reading, "MAX_DOCUMENT_BYTES", 100)
    with fails("too-large", DataError):
        swath.catalog(published)
    with fails("too-large", DataError):
        swath.catalog(site.folder / "catalog.json")


def test_a_slow_server(site: Site, published: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def drip(request: Any) -> None:
        request.send_response(200)
        request.end_headers()
        for _ in range(100):
            request.wfile.write(b" ")
            request.wfile.flush()
            time.sleep(0.02)

    site.answers["/catalog.json"] = drip
    monkeypatch.setattr(reading, "MAX_SECONDS", 0.2)
    begun = time.monotonic()
    with fails("too-slow", JobError):
        swath.catalog(published)
    assert time.monotonic() - begun < 1.5
    monkeypatch.setattr(web, "TIMEOUT", 0.1)
    site.answers["/catalog.json"] = lambda request: time.sleep(0.5)
    with fails("too-slow", JobError):
        swath.catalog(published)


def test_errors_of_the_server_and_the_network(site: Site, published: str, tmp_path: Path) -> None:
    (site.folder / "fields.swath").unlink()
    assert "404" in refused(published, "http-error", DataError, tmp_path)
    (site.folder / "fields.swath.json").unlink()
    assert [m.name for m in swath.catalog(published).models] == ["my clouds"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    refused(f"http://127.0.0.1:{port}/catalog.json", "no-network", JobError, tmp_path)
    refused("https://no.invalid/catalog.json", "no-network", JobError, tmp_path)
    refused("ftp://127.0.0.1/catalog.json", "url-scheme", DataError, tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"stac_version": "1", "type": "x"}', "NaN"])
def test_what_is_no_catalog(tmp_path: Path, content: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(content)
    with fails("not-a-catalog", DataError, file=path):
        swath.catalog(path)


def test_items_that_are_no_models(site: Site, published: str, tmp_path: Path) -> None:
    edit(site.folder / "fields.swath.json", lambda item: item["properties"].pop("swath:card"))
    refused(published, "damaged-card", ModelError, tmp_path)
    edit(site.folder / "fields.swath.json", lambda item: item.update(assets=[]))
    refused(published, "item-assets", DataError, tmp_path)
    assert "fields.swath.json" in swath.catalog(published).warnings[0]


def test_options_that_do_not_fit(site: Site, published: str, tmp_path: Path) -> None:
    with fails("option-missing", UsageError):
        swath.catalog(published, "fields")
    with fails("option-conflict", UsageError):
        swath.catalog(published, license="x")
    with fails("not-a-folder", UsageError):
        swath.catalog(published, write_catalog=True)
    with fails("not-a-catalog", UsageError):
        swath.catalog(site.folder, "fields", tmp_path / "m.swath")
    with fails("file-extension", UsageError):
        swath.catalog(published, "fields", tmp_path / "m.zip")
    with fails("no-such-file", DataError):
        swath.catalog(tmp_path / "none.json")
    (tmp_path / "empty").mkdir()
    with fails("no-models", ModelError):
        swath.catalog(tmp_path / "empty")


def test_the_command_line(
    site: Site, published: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["models", published])
    shown = capsys.readouterr().out.splitlines()
    assert shown[1].startswith("  fields: ") and shown[1].endswith("10 m, license CC-BY-4.0")
    assert shown[2:4] == ["    bands    blue, green, red", "    classes  1 1, 2 2, 3 3"]
    target = tmp_path / "m.swath"
    main(["models", published, "fields", str(target), "--json-progress"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0]["title"] == "fetching fields" and lines[-1]["file"] == str(target)
    assert lines[-1]["models"][0]["bands"] == NAMES
