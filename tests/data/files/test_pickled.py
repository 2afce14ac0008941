import builtins
import os
import pickle
import struct

import numpy as np
import pytest

from jaxvae.data.files.pickled import read_pickle
from tests.data.files.helpers import assert_cuts_are_refused, assert_stored, some_images

FACES = some_images(1965, 28, 20)
ROWS = FACES.reshape(1965, 560)


def shuffled():
    rows = FACES.copy()
    np.random.RandomState(123).shuffle(rows)
    return rows


def write(path, content, protocol=4):
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol))
    return path


def python_2(rows, code, order):
    """A tuple of an array, as `cPickle.dumps((rows,), 2)` of Python 2 has it."""
    raw = rows.tobytes()
    return (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87Rq\x03"
        b"(K\x01" + b"M" + struct.pack("<H", len(rows)) + b"M" + struct.pack("<H", rows.shape[1]) + b"\x86"
        b"cnumpy\ndtype\nq\x04U" + bytes([len(code)]) + code + b"K\x00K\x01\x87R(K\x03U\x01" + order + b"NNN"
        b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T" + struct.pack("<i", len(raw)) + raw + b"tb\x85."
    )


def python_2_text(rows):
    """A list of an array, as `pickle.dumps([rows])` of Python 2 has it."""
    # Python 2's repr of a str escapes every byte that is not ASCII.
    raw = repr(rows.tobytes())[1:].encode()
    return (
        b"(lp0\ncnumpy.core.multiarray\n_reconstruct\np1\n(cnumpy\nndarray\np2\n(I0\ntp3\nS'b'\np4\ntp5\nRp6\n"
        b"(I1\n(I%d\nI%d\ntp7\ncnumpy\ndtype\np8\n(S'u1'\np9\nI0\nI1\ntp10\nRp11\n(I3\nS'|'\np12\nNNNI-1\nI-1\n"
        b"I0\ntp13\nbI00\nS%s\np14\ntp15\nba." % (*rows.shape, raw)
    )


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "wrap", [lambda rows: rows, lambda rows: [rows, "more"], lambda rows: (rows, rows[:2])]
)
def test_the_frey_faces_are_shuffled_and_split_as_published(tmp_path, protocol, wrap):
    stored = read_pickle(write(tmp_path / "a", wrap(ROWS), protocol))
    assert_stored(stored, shuffled(), num_validation=200, num_test=200)


@pytest.mark.parametrize(
    "rows",
    [ROWS.astype(np.float32), ROWS.astype(">f8"), ROWS / 255, ROWS.astype(np.int64), np.asfortranarray(ROWS)],
)
@pytest.mark.parametrize("protocol", [2, 5])
def test_levels_may_be_of_any_type_and_order(tmp_path, rows, protocol):
    stored = read_pickle(write(tmp_path / "a", rows, protocol))
    assert_stored(stored, shuffled(), num_validation=200, num_test=200)


@pytest.mark.parametrize(
    "content",
    [
        python_2(ROWS, b"u1", b"|"),
        python_2(ROWS.astype("<f4"), b"f4", b"<"),
        python_2(ROWS.astype(">f4"), b"f4", b">"),
        python_2_text(ROWS),
    ],
    ids=["bytes", "floats", "big-endian", "text"],
)
def test_pickles_of_python_2_are_read(tmp_path, content):
    stored = read_pickle(write(tmp_path / "a", content))
    assert_stored(stored, shuffled(), num_validation=200, num_test=200)


class Call:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_nothing_that_a_pickle_names_is_run(tmp_path, protocol):
    victim = tmp_path / "victim"
    calls = {
        f"{os.system.__module__}.system": Call(os.system, f"touch {victim}"),
        "eval": Call(builtins.eval, f"open({str(victim)!r}, 'w')"),
        "numpy.*save": Call(np.save, victim, np.ones(2)),
        "numpy.*scalar": np.float64(3),
    }
    for name, call in calls.items():
        path = write(tmp_path / "a", [ROWS[:2], call], protocol)
        with pytest.raises(
            ValueError, match=rf"Expected .*a to hold arrays alone; got the name '.*{name}'\."
        ):
            read_pickle(path)
    assert not victim.exists()
    pickle.loads(pickle.dumps(calls["eval"])).close()
    assert victim.exists()


BAD = {
    "a number": (3, "to hold an array, or a list that starts with one; got int"),
    "an empty list": ([], "to hold an array, or a list that starts with one; got list"),
    "a dictionary": ({"data": ROWS}, "to hold an array, or a list that starts with one; got dict"),
    "the class of arrays": (np.ndarray, "to hold an array, or a list that starts with one; got type"),
    "objects": (np.array([None, 1]), "to hold an array of numbers; got type 'O8'"),
    "text": (np.array(["ab"]), "to hold an array of numbers; got type 'U2'"),
    "fewer images": (ROWS[:9], r"to hold 1,965 images of 28 x 20 pixels; got shape \(9, 560\)"),
    "other sizes": (ROWS[:, :9], r"to hold 1,965 images of 28 x 20 pixels; got shape \(1965, 9\)"),
    "no axis": (np.array(1.0), r"to hold 1,965 images of 28 x 20 pixels; got shape \(\)"),
    "fractions": (ROWS + 0.5, r"to be in \[0, 1\]; got 0\.5 to 255\.5"),
    "a fraction": (np.where(ROWS < 99, 3.5, ROWS), r"to be in \[0, 1\]; got 3.5 to 255"),
    "NaN": (np.full((1965, 560), np.nan), r"to be in \[0, 1\]; got NaN"),
    "infinite": (np.full((1965, 560), np.inf), r"to be in \[0, 1\]; got inf to inf"),
    "above": (ROWS + 1.0 * ROWS, r"to be in \[0, 1\]; got 0 to 510"),
    "constant": (np.ones((1965, 560)), "not to be constant; got 1965 that are"),
    "fewer bytes": (python_2(ROWS, b"u2", b"<"), r"to hold 1100400 values of uint16; got 1100400 bytes"),
    "an array of nothing": (b"cnumpy\nndarray\n)R.", "to be a whole pickle; got .*"),
    "garbage": (b"(garbage.", "to be a whole pickle; got .*"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_the_frey_faces_is_refused(tmp_path, name):
    content, message = BAD[name]
    with pytest.raises(ValueError, match=rf"\AExpected .*a {message}\.\Z"):
        read_pickle(write(tmp_path / "a", content))


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_truncated_files_are_refused(tmp_path, protocol):
    path = write(tmp_path / "a", [ROWS], protocol)
    sizes = (0, 1, 20, 50, 100, 200, 5000, path.stat().st_size - 1)
    assert_cuts_are_refused(read_pickle, path, sizes=sizes)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Expected a file at .*nothing; got nothing\."):
        read_pickle(tmp_path / "nothing")
