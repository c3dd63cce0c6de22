import os
import resource
import signal
from pathlib import Path

import numpy as np
import pytest

from swath.errors import DataError, JobError
from swath.parts import allocate, whole_file, whole_folder


def listed(folder):
    return sorted(p.name for p in folder.iterdir())


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "deep" / "x.bin"
    with whole_file(path) as partial:
        partial.write_bytes(b"new")
        assert not path.exists()
        assert (partial.parent, partial.suffix) == (path.parent, ".bin")
    assert path.read_bytes() == b"new"
    assert listed(path.parent) == ["x.bin"]


@pytest.mark.parametrize("error", [DataError("x"), RuntimeError("x"), KeyboardInterrupt()])
def test_an_error_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")
    with pytest.raises(type(error)), whole_file(path) as partial:
        partial.write_bytes(b"half")
        raise error
    assert path.read_bytes() == b"old"
    assert listed(tmp_path) == ["x.bin"]


def test_a_full_disk_is_told_with_the_file(tmp_path):
    with pytest.raises(JobError, match="No space left") as caught, whole_file(tmp_path / "x"):
        raise OSError(28, "No space left on device")
    assert caught.value.file == str(tmp_path / "x")
    assert listed(tmp_path) == []


def test_a_file_that_was_never_written_is_told(tmp_path):
    with pytest.raises(JobError, match="cannot be written"), whole_file(tmp_path / "x"):
        pass


def test_a_folder_is_no_place_for_a_file(tmp_path):
    with pytest.raises(JobError, match="this is a folder"), whole_file(tmp_path):
        pass


def test_a_file_is_no_place_for_a_file_or_folder(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(JobError, match="cannot be written"), whole_file(tmp_path / "x" / "y"):
        pass
    with pytest.raises(JobError, match="cannot be written"), whole_folder(tmp_path / "x" / "y", ["m"]):
        pass
    with pytest.raises(JobError, match="this is a file"), whole_folder(tmp_path / "x", ["m"]):
        pass


def fill(path, text, marker="mark.json"):
    with whole_folder(path, [marker, "sub"]) as partial:
        (partial / "sub").mkdir()
        (partial / "sub" / "a").write_text(text)
        (partial / marker).write_text("")


def test_a_folder_appears_when_it_is_whole(tmp_path):
    with whole_folder(tmp_path / "deep" / "d", ["m"]) as partial:
        (partial / "m").write_text("")
        assert not (tmp_path / "deep" / "d").exists()
    assert listed(tmp_path / "deep") == ["d"]
    assert listed(tmp_path / "deep" / "d") == ["m"]


def test_a_folder_of_ours_is_replaced(tmp_path):
    fill(tmp_path / "d", "old")
    fill(tmp_path / "d", "new")
    assert (tmp_path / "d" / "sub" / "a").read_text() == "new"
    assert listed(tmp_path) == ["d"]


def test_a_folder_of_ours_with_something_of_the_users_in_it_is_not(tmp_path):
    fill(tmp_path / "d", "old")
    (tmp_path / "d" / "thesis.txt").write_text("mine")
    with pytest.raises(JobError, match=r"thesis\.txt"):
        fill(tmp_path / "d", "new")
    assert (tmp_path / "d" / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("error", [DataError("x"), KeyboardInterrupt()])
def test_an_error_leaves_the_old_folder(tmp_path, error):
    fill(tmp_path / "d", "old")
    with pytest.raises(type(error)), whole_folder(tmp_path / "d", ["mark.json", "sub"]) as partial:
        (partial / "a").write_text("half")
        raise error
    assert (tmp_path / "d" / "sub" / "a").read_text() == "old"
    assert listed(tmp_path) == ["d"]


def test_a_refused_rename_brings_the_old_folder_back(tmp_path, monkeypatch):
    fill(tmp_path / "d", "old")
    real = os.replace

    def replace(a, b):
        if str(a).endswith(".partial"):
            raise OSError(5, "Input/output error")
        real(a, b)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(JobError, match="Input/output"):
        fill(tmp_path / "d", "new")
    assert (tmp_path / "d" / "sub" / "a").read_text() == "old"
    assert listed(tmp_path) == ["d"]


def test_an_empty_folder_is_taken_but_no_other(tmp_path):
    (tmp_path / "d").mkdir()
    fill(tmp_path / "d", "new")
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "precious").write_text("mine")
    with pytest.raises(JobError, match="holds other files"):
        fill(tmp_path / "e", "new")
    assert (tmp_path / "e" / "precious").read_text() == "mine"


def test_what_a_killed_process_of_our_number_left_is_no_hindrance(tmp_path):
    stale = tmp_path / f".d.{os.getpid()}.partial"
    stale.mkdir()
    (stale / "half").write_text("")
    fill(tmp_path / "d", "new")
    assert listed(tmp_path) == ["d"]
    assert listed(tmp_path / "d") == ["mark.json", "sub"]


def test_a_linked_folder_stays_a_link(tmp_path):
    fill(tmp_path / "disk", "old")
    (tmp_path / "d").symlink_to(tmp_path / "disk")
    fill(tmp_path / "d", "new")
    assert (tmp_path / "d").is_symlink()
    assert (tmp_path / "disk" / "sub" / "a").read_text() == "new"
    assert listed(tmp_path) == ["d", "disk"]


def test_the_working_folder_can_be_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "precious").write_text("")
    with pytest.raises(JobError, match="other files"):
        fill(Path("."), "new")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    fill(Path("."), "new")
    assert listed(tmp_path / "work") == ["mark.json", "sub"]


def test_a_full_disk_is_an_error_not_a_crash(tmp_path):
    def little_room(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    old, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        little_room(10_000)
        with pytest.raises(JobError, match="cannot be written"), whole_folder(tmp_path / "d", ["m"]) as folder:
            allocate(folder / "a.npy", np.dtype(np.uint8), (200, 200))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (old, resource.RLIM_INFINITY))
        signal.signal(signal.SIGXFSZ, handler)
    assert not (tmp_path / "d").exists()
