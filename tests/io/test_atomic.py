import os
import resource
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from swath.errors import DataError, JobError
from swath.io.atomic import MAX_WRITERS, allocate_npy, atomic_file, atomic_folder, exclusive
from tests.errors import fails


def listed(folder):
    return sorted(p.name for p in folder.iterdir())


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "deep" / "x.bin"
    with atomic_file(path) as partial:
        partial.write_bytes(b"new")
        assert not path.exists()
        assert (partial.parent, partial.suffix) == (path.parent, ".bin")
    assert path.read_bytes() == b"new"
    assert listed(path.parent) == ["x.bin"]


@pytest.mark.parametrize(
    "error", [DataError("X", code="x"), RuntimeError("x"), KeyboardInterrupt()]
)
def test_an_error_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")
    with pytest.raises(type(error)), atomic_file(path) as partial:
        partial.write_bytes(b"half")
        raise error
    assert path.read_bytes() == b"old"
    assert listed(tmp_path) == ["x.bin"]


def test_a_full_disk_is_told_with_the_file(tmp_path):
    with fails("not-writable", JobError, tmp_path / "x") as caught, atomic_file(tmp_path / "x"):
        raise OSError(28, "No space left on device")
    assert "No space left" in caught.value.message
    assert listed(tmp_path) == []


def test_a_file_that_was_never_written_is_told(tmp_path):
    with fails("not-writable", JobError, tmp_path / "x"), atomic_file(tmp_path / "x"):
        pass


def test_a_folder_is_no_place_for_a_file(tmp_path):
    with fails("is-a-folder", JobError, tmp_path), atomic_file(tmp_path):
        pass


def test_a_file_is_no_place_for_a_file_or_folder(tmp_path):
    (tmp_path / "x").write_text("")
    below = tmp_path / "x" / "y"
    with fails("not-writable", JobError, below), atomic_file(below):
        pass
    with fails("not-writable", JobError, below), atomic_folder(below, ["m"]):
        pass
    with fails("not-a-folder", JobError, tmp_path / "x"), atomic_folder(tmp_path / "x", ["m"]):
        pass


def fill(path, text, marker="mark.json"):
    with atomic_folder(path, [marker, "sub"]) as partial:
        (partial / "sub").mkdir()
        (partial / "sub" / "a").write_text(text)
        (partial / marker).write_text("")


def test_a_folder_appears_when_it_is_whole(tmp_path):
    with atomic_folder(tmp_path / "deep" / "d", ["m"]) as partial:
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
    with fails("foreign-folder", JobError, tmp_path / "d") as caught:
        fill(tmp_path / "d", "new")
    assert "thesis.txt" in caught.value.message
    assert (tmp_path / "d" / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("error", [DataError("X", code="x"), KeyboardInterrupt()])
def test_an_error_leaves_the_old_folder(tmp_path, error):
    fill(tmp_path / "d", "old")
    with pytest.raises(type(error)), atomic_folder(tmp_path / "d", ["mark.json", "sub"]) as partial:
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
    with fails("not-writable", JobError, tmp_path / "d") as caught:
        fill(tmp_path / "d", "new")
    assert "Input/output" in caught.value.message
    assert (tmp_path / "d" / "sub" / "a").read_text() == "old"
    assert listed(tmp_path) == ["d"]


def test_an_empty_folder_is_taken_but_no_other(tmp_path):
    (tmp_path / "d").mkdir()
    fill(tmp_path / "d", "new")
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "precious").write_text("mine")
    with fails("foreign-folder", JobError, tmp_path / "e"):
        fill(tmp_path / "e", "new")
    assert (tmp_path / "e" / "precious").read_text() == "mine"


def left_by_a_kill(path, *kinds):
    """Leave what a process leaves that is killed while it writes a file or folder."""
    code = f"""
import os, signal
from swath.io.atomic import atomic_{kinds[0]}
with atomic_{kinds[0]}({str(path)!r}, *{kinds[1:]!r}) as partial:
    {"partial.mkdir(exist_ok=True); partial /= 'half'" if kinds[0] == "folder" else ""}
    partial.write_text("half")
    partial.with_name(partial.name + ".tiles.tif").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path, kind):
    left_by_a_kill(tmp_path / "d", kind, *([["m"]] if kind == "folder" else []))
    left = listed(tmp_path)
    assert len(left) >= 2 and "d" not in left and ".d.00000000.lock" in left
    (tmp_path / ".d.mine.partial").write_text("of somebody else")
    if kind == "folder":
        fill(tmp_path / "d", "new")
    else:
        with atomic_file(tmp_path / "d") as partial:
            partial.write_text("new")
    assert listed(tmp_path) == [".d.mine.partial", "d"]


def test_a_folder_that_a_killed_process_had_just_put_aside_comes_back(tmp_path):
    fill(tmp_path / "d", "old")
    os.replace(tmp_path / "d", tmp_path / ".d.0123abcd.old")
    (tmp_path / ".d.00000000.lock").touch()
    with pytest.raises(DataError), atomic_folder(tmp_path / "d", ["mark.json", "sub"]):
        raise DataError("X", code="x")
    assert (tmp_path / "d" / "sub" / "a").read_text() == "old" and listed(tmp_path) == ["d"]


def test_two_that_write_one_file_both_write_it_whole(tmp_path):
    with atomic_file(tmp_path / "x") as one:
        with atomic_file(tmp_path / "x") as other:
            one.write_text("one")
            other.write_text("other")
        assert (tmp_path / "x").read_text() == "other" and one.exists()
    assert (tmp_path / "x").read_text() == "one" and listed(tmp_path) == ["x"]


def test_what_a_killed_second_writer_left_goes_and_the_living_one_stays(tmp_path):
    with atomic_file(tmp_path / "d") as first:
        first.write_text("first")
        left_by_a_kill(tmp_path / "d", "file")
    assert len(listed(tmp_path)) == 4
    with atomic_file(tmp_path / "d") as one, atomic_file(tmp_path / "d") as other:
        one.write_text("one")
        other.write_text("other")
        assert len(listed(tmp_path)) == 5
    assert (tmp_path / "d").read_text() == "one" and listed(tmp_path) == ["d"]


def test_no_more_than_so_many_write_one_file_at_a_time(tmp_path):
    with ExitStack() as stack:
        for i in range(MAX_WRITERS):
            stack.enter_context(atomic_file(tmp_path / "x")).write_text(str(i))
        with fails("output-in-use", JobError, tmp_path / "x"), atomic_file(tmp_path / "x"):
            pass
    assert (tmp_path / "x").read_text() == "0" and listed(tmp_path) == ["x"]


def test_two_that_make_one_folder_are_told_apart(tmp_path):
    with atomic_folder(tmp_path / "d", ["m"]) as partial:
        (partial / "m").write_text("")
        with fails("output-in-use", JobError, tmp_path / "d"), atomic_folder(tmp_path / "d", ["m"]):
            pass
    assert listed(tmp_path) == ["d"]


def test_one_run_at_a_time_and_the_lock_goes_with_its_process(tmp_path):
    with exclusive(tmp_path / "x"), atomic_file(tmp_path / "x") as partial:
        partial.write_text("")
        with fails("output-in-use", JobError, tmp_path / "x"), exclusive(tmp_path / "x"):
            pass
    assert listed(tmp_path) == ["x"]
    code = f"""
import os, signal
from swath.io.atomic import exclusive
with exclusive({str(tmp_path / "x")!r}):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    assert listed(tmp_path) == [".x.00000000.busy", "x"]
    with exclusive(tmp_path / "x"):
        pass
    assert listed(tmp_path) == ["x"]


def test_a_disk_without_locks_works_too(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "fcntl.flock", lambda *a: (_ for _ in ()).throw(OSError(95, "Operation not supported"))
    )
    fill(tmp_path / "d", "new")
    with exclusive(tmp_path / "x"), atomic_file(tmp_path / "x") as partial:
        partial.write_text("")
    assert listed(tmp_path) == ["d", "x"]


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
    with fails("foreign-folder", JobError, "."):
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
        with (
            fails("not-writable", JobError, tmp_path / "d"),
            atomic_folder(tmp_path / "d", ["m"]) as folder,
        ):
            allocate_npy(folder / "a.npy", np.dtype(np.uint8), (200, 200))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (old, resource.RLIM_INFINITY))
        signal.signal(signal.SIGXFSZ, handler)
    assert not (tmp_path / "d").exists()
