import os

import pytest

from swath.errors import JobError
from swath.io.work_folder import WorkFolder, open_store
from tests.errors import fails


@pytest.fixture(params=["folder", "url", "memory"])
def store(request, tmp_path):
    if request.param == "memory":
        made = open_store(f"memory://{tmp_path}")
        yield made
        made.clear()
    else:
        yield open_store(
            str(tmp_path / "work") if request.param == "folder" else f"file://{tmp_path}/work"
        )


def refuse(monkeypatch, name, number, text):
    """Let a function of `os` fail."""

    def fail(*arguments):
        raise OSError(number, text)

    monkeypatch.setattr(os, name, fail)


def test_what_is_put_first_stays(store):
    assert store.put_first("plan.json", b"first") == b"first"
    assert store.put_first("plan.json", b"second") == b"first" == store.get("plan.json")


def test_files_are_found_by_pattern_until_the_store_is_cleared(store):
    store.clear()
    assert not store.holds("*/*.part") and store.get("0/1.part") is None
    store.put("0/1.part", b"1")
    assert store.holds("*/*.part") and not store.holds("*.part") and store.get("0/1.part") == b"1"
    store.clear()
    assert not store.holds("*/*.part") and store.get("0/1.part") is None


def test_a_disk_without_links_puts_a_file_first_too(tmp_path, monkeypatch):
    refuse(monkeypatch, "link", 95, "Operation not supported")
    store = open_store(str(tmp_path))
    for content in (b"first", b"second"):
        assert store.put_first("plan.json", content) == b"first"
    assert [p.name for p in tmp_path.iterdir()] == ["plan.json"]


def test_a_folder_of_other_files_loses_its_own_alone(tmp_path):
    for name in ("mine.swath", "yours.swath"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "mine.training").mkdir()
    open_store(str(tmp_path), ["mine.swath", "mine.training", "absent"]).clear()
    assert [p.name for p in tmp_path.iterdir()] == ["yours.swath"]


def test_a_place_that_fsspec_does_not_know():
    with fails("missing-package", JobError, file="nonsense://bucket/parts"):
        open_store("nonsense://bucket/parts")


def test_work_of_the_same_record_continues_and_other_work_is_removed(store):
    work = WorkFolder(store, "made-by.txt")
    assert work.open(lambda: "a") == "a"
    store.put("done.txt", b"1")
    assert work.open(lambda: "a") == "a" and store.get("done.txt") == b"1"
    assert work.open(lambda: "b") == "b" and store.get("done.txt") is None
    work.remove()
    assert store.get("made-by.txt") is None


def test_files_without_a_record_are_removed(store):
    store.put("done.txt", b"1")
    assert WorkFolder(store, "made-by.txt", "*").open(lambda: "a") == "a"
    assert store.get("done.txt") is None


def test_protected_work_is_refused_with_what_has_changed(store):
    work = WorkFolder(store, "plan.json", "*/*.part", "Undo the change")
    changed = ["layers", "halo"]
    assert work.open(lambda: "a", lambda old: changed) == "a"
    assert work.open(lambda: "b", lambda old: changed) == "b"  # nothing is done yet
    store.put("0/1.part", b"1")
    with fails("other-work", JobError, file=store.root) as caught:
        work.open(lambda: "c", lambda old: changed)
    assert "layers, halo" in caught.value.message and caught.value.fix == "Undo the change"
    assert store.get("plan.json") == b"b" and store.get("0/1.part") == b"1"
    assert work.open(lambda: "c", lambda old: []) == "b"


def test_a_place_that_takes_no_record(tmp_path, monkeypatch):
    refuse(monkeypatch, "link", 28, "No space left on device")
    refuse(monkeypatch, "replace", 28, "No space left on device")
    with fails("not-writable", JobError, file=tmp_path) as caught:
        WorkFolder(open_store(str(tmp_path)), "plan.json").open(lambda: "a")
    assert "No space left" in caught.value.message
