import errno
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from jaxvae.data import cache
from jaxvae.data.cache import cached, fingerprint, read_entry, write_entry, write_npy

IMAGES = np.random.RandomState(0).randint(0, 256, (12, 1, 3, 2)).astype(np.uint8)
LABELS = np.arange(12) % 5
COUNTS = {"train": 6, "validation": 2, "test": 4}
SLOW = """
import os, time
from jaxvae.data.cache import cached
def make(directory):
    open({log!r}, "a").write("made\\n")
    (directory / "half").write_text("")
    while not os.path.exists({go!r}):
        time.sleep(0.05)
    (directory / "whole").write_text("")
print(cached("kind/name", "the thing", make))
"""


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXVAE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def entry(labels=LABELS, counts=COUNTS, images=IMAGES):
    def make(directory):
        blocks = [(images[i : i + 5], None if labels is None else labels[i : i + 5]) for i in (0, 5, 10)]
        write_entry(directory, "the set", counts, blocks)

    return cached("kind/name", "the set", make)


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("labels", [None, LABELS])
def test_an_entry_is_read_as_it_was_written(on_disk, labels):
    stored = read_entry(entry(labels), "the set", on_disk=on_disk)
    np.testing.assert_array_equal(np.asarray(stored.images), IMAGES)
    assert (stored.labels is None) == (labels is None)
    assert labels is None or stored.labels.tolist() == labels.tolist()
    assert (stored.num_validation, stored.num_test) == (2, 4)


def test_without_test_images_the_validation_images_are_those():
    stored = read_entry(entry(counts={"train": 8, "validation": 4}), "the set", on_disk=False)
    assert (stored.num_validation, stored.num_test) == (None, 4)


def test_an_entry_is_made_once(capsys):
    def fail(directory):
        raise AssertionError

    made = entry()
    assert "Preparing the set, once" in capsys.readouterr().err
    assert cached("kind/name", "the set", fail) == made


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, r"Expected the cache of the set to be whole \(delete .*name to make it anew\); got"),
        (
            flip,
            r"Expected the cache of the set to hold what was written \(delete .*\); got another",
        ),
    ],
)
def test_a_damaged_entry_is_refused(damage, message):
    made = entry()
    damage(made / "images.npy")
    with pytest.raises(ValueError, match=message):
        read_entry(made, "the set", on_disk=False)


def empty(path):
    path.write_text("{}")


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("images.npy", cut),
        ("images.npy", os.unlink),
        ("labels.npy", cut),
        ("about.json", os.unlink),
        ("about.json", cut),
        ("about.json", empty),
    ],
)
def test_every_file_of_an_entry_must_be_whole(name, damage, on_disk):
    made = entry()
    damage(made / name)
    with pytest.raises(ValueError, match=rf"to be whole \(delete {made} to make it anew\); got .*\.$"):
        read_entry(made, "the set", on_disk=on_disk)


@pytest.mark.parametrize("on_disk", [False, True])
def test_binary_images_become_0_and_255(on_disk):
    made = entry(images=IMAGES // 128)
    stored = read_entry(made, "the set", on_disk=on_disk)
    np.testing.assert_array_equal(np.asarray(stored.images), 255 * (IMAGES // 128))
    assert sorted(path.name for path in made.iterdir()) == ["about.json", "images.npy", "labels.npy"]


def test_an_entry_is_of_bytes_and_of_some(directory):
    with pytest.raises(ValueError, match=r"Expected the images of the set to be uint8; got float64\."):
        entry(images=IMAGES / 255)
    with pytest.raises(ValueError, match=r"Expected the set to hold images; got none\."):
        cached("kind/name", "the set", lambda part: write_entry(part, "the set", COUNTS, []))
    assert left(directory) == []


def left(directory):
    return sorted(path.name for path in (directory / "kind").iterdir() if path.suffix != ".lock")


def test_nothing_half_made_stays(directory):
    def make(part):
        (part / "half").write_text("")
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        cached("kind/name", "the thing", make)
    assert left(directory) == []


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, r"Expected space for the thing in .*kind \(JAXVAE_CACHE .*\); got: No space left"),
        (errno.EACCES, r"Expected to write the thing in .*kind \(JAXVAE_CACHE .*\); got: Permission denied"),
    ],
)
def test_a_full_or_closed_disk_is_one_line_and_nothing_stays(directory, number, message):
    def make(part):
        (part / "half").write_text("")
        raise OSError(number, os.strerror(number))

    with pytest.raises(OSError, match=message):
        cached("kind/name", "the thing", make)
    assert left(directory) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device that is always full")
@pytest.mark.parametrize("size", [1, 1_000_000])
def test_writing_to_a_full_disk_is_one_line_and_nothing_stays(directory, size):
    def make(part):
        (part / "images.npy").symlink_to("/dev/full")
        write_npy(part / "images.npy", (size,), np.uint8, [np.zeros(size)], "the array")

    with pytest.raises(OSError, match=r"^Expected space for the array in .*; got: No space left on device"):
        cached("kind/name", "the array", make)
    assert left(directory) == []


def test_a_cache_that_is_no_directory_is_one_line(directory):
    directory.write_text("")
    with pytest.raises(OSError, match=r"Expected to write the thing in .*; got: Not a directory\."):
        cached("kind/name", "the thing", lambda part: None)


def test_a_disk_that_fills_while_an_array_is_written_is_an_error(tmp_path):
    resource = pytest.importorskip("resource")
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, old[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_npy(tmp_path / "a.npy", (30, 1000), np.uint8, [np.zeros((10, 1000))] * 3, "the array")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([np.zeros((3, 2, 2))], r"Expected the array to hold 4 images; got 3\."),
        (
            [np.zeros((3, 2, 2)), np.zeros((1, 2, 3))],
            r"Expected the images of the array to have shape \(2",
        ),
    ],
)
def test_blocks_that_do_not_add_up_are_refused(tmp_path, blocks, message):
    with pytest.raises(ValueError, match=message):
        write_npy(tmp_path / "a.npy", (4, 2, 2), np.uint8, blocks, "the array")


def start(tmp_path):
    """A process that prepares until the file `go` is there."""
    code = SLOW.format(log=str(tmp_path / "log"), go=str(tmp_path / "go"))
    return subprocess.Popen([sys.executable, "-c", code], stdout=-1, stderr=-1, text=True)


def wait_for(path):
    while not path.exists():
        time.sleep(0.05)


def test_of_two_processes_one_waits_and_both_succeed(tmp_path, directory):
    one = start(tmp_path)
    wait_for(directory / "kind" / "name.part" / "half")
    two = start(tmp_path)
    assert "Waiting for another process that prepares the thing" in two.stderr.readline()
    (tmp_path / "go").touch()
    outs = [process.communicate(timeout=60) for process in (one, two)]
    assert [process.returncode for process in (one, two)] == [0, 0], outs
    assert outs[0][0] == outs[1][0] == f"{directory / 'kind' / 'name'}\n"
    assert (tmp_path / "log").read_text() == "made\n"
    assert left(directory) == ["name"]


def test_one_that_stops_waiting_leaves_the_other_alone(tmp_path, directory):
    one = start(tmp_path)
    wait_for(directory / "kind" / "name.part" / "half")
    two = start(tmp_path)
    assert "Waiting" in two.stderr.readline()
    two.send_signal(signal.SIGINT)
    two.communicate(timeout=60)
    assert two.returncode != 0
    assert one.poll() is None
    (tmp_path / "go").touch()
    one.communicate(timeout=60)
    assert one.returncode == 0
    assert left(directory) == ["name"]


def test_what_a_killed_process_left_does_not_stand_in_the_way(tmp_path, directory):
    process = start(tmp_path)
    wait_for(directory / "kind" / "name.part" / "half")
    process.kill()
    process.communicate()
    assert left(directory) == ["name.part"]
    made = cached("kind/name", "the thing", lambda part: (part / "whole").write_text(""))
    assert [path.name for path in made.iterdir()] == ["whole"]


def test_a_fingerprint_is_of_values_types_and_shapes():
    prints = {
        fingerprint(IMAGES), fingerprint(IMAGES + 1), fingerprint(IMAGES.reshape(12, -1)), fingerprint("a"),
        fingerprint("a", "b"), fingerprint("ab"), fingerprint(IMAGES.view(np.int8)),
    }  # fmt: skip
    assert len(prints) == 7
    assert fingerprint(IMAGES, 3) == fingerprint(IMAGES.copy(), 3)


def test_the_place_of_the_cache_can_be_chosen(directory, monkeypatch):
    assert cache.cache_directory() == directory
    monkeypatch.delenv("JAXVAE_CACHE")
    assert cache.cache_directory().name == "jaxvae"
