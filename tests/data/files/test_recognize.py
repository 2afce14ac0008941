import gzip
import io
import pickle

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from jaxvae.data.files import read_files
from tests.conftest import write_idx
from tests.data.files.helpers import assert_stored, held_out, some_images

IMAGES = some_images(30)
FACES = some_images(1965, 28, 20)


def in_bytes(write, *args, **kwargs):
    content = io.BytesIO()
    write(content, *args, **kwargs)
    return content.getvalue()


IDX = bytes([0, 0, 8, 3, 0, 0, 0, 30, 0, 0, 0, 4, 0, 0, 0, 4]) + IMAGES.tobytes()
ONE_ARRAY = {
    "npy": in_bytes(np.save, IMAGES),
    "npz": in_bytes(np.savez, images=IMAGES),
    "compressed npz": in_bytes(np.savez_compressed, images=IMAGES),
    "idx": IDX,
    "compressed idx": gzip.compress(IDX),
    "text": in_bytes(np.savetxt, IMAGES.reshape(30, 16), fmt="%d"),
    "indented text": in_bytes(np.savetxt, IMAGES.reshape(30, 16) / 255, fmt="   %.7e"),
}


@pytest.mark.parametrize("suffix", ["", ".png", ".npy", ".npz", ".mat", ".pkl", ".gz", ".amat"])
@pytest.mark.parametrize("name", ONE_ARRAY)
def test_a_file_is_known_by_its_content_whatever_its_name(tmp_path, name, suffix):
    path = tmp_path / f"images{suffix}"
    path.write_bytes(ONE_ARRAY[name])
    assert_stored(read_files(path), held_out(IMAGES), num_test=3)
    assert_stored(read_files(str(path)), held_out(IMAGES), num_test=3)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("wrap", [lambda rows: rows, lambda rows: [rows], lambda rows: (rows,)])
def test_a_pickle_is_known_by_its_content(tmp_path, protocol, wrap):
    path = tmp_path / "faces.npy"
    path.write_bytes(pickle.dumps(wrap(FACES.reshape(1965, 560)), protocol))
    assert len(read_files(path).images) == 1965


def test_a_file_of_matlab_is_known_by_its_content(tmp_path):
    columns = np.stack([image.T.ravel() for image in IMAGES], axis=1)
    savemat(tmp_path / "a.npz", {"data": columns, "testdata": columns[:, :5]}, appendmat=False)
    assert_stored(read_files(tmp_path / "a.npz"), np.concatenate([IMAGES, IMAGES[:5]]), num_test=5)


def test_directories_are_known_by_what_is_in_them(tmp_path):
    Image.fromarray(IMAGES[0]).save(tmp_path / "0.png")
    Image.fromarray(IMAGES[1]).save(tmp_path / "1.png")
    assert len(read_files(tmp_path).images) == 2
    for name, stop in (("train", 5), ("test", 2)):
        np.savetxt(tmp_path / f"x_{name}.amat", IMAGES[:stop].reshape(stop, 16), fmt="%d")
    assert len(read_files(tmp_path).images) == 7
    for name, stop in (("train", 8), ("t10k", 3)):
        write_idx(tmp_path / f"{name}-images-idx3-ubyte", IMAGES[:stop])
        write_idx(tmp_path / f"{name}-labels-idx1-ubyte.gz", np.zeros(stop, np.uint8), compress=True)
    assert len(read_files(tmp_path).images) == 11


def test_a_directory_of_something_else_is_refused(tmp_path):
    rule = r"to hold the four IDX files .*, \*_train\.amat and \*_test\.amat, or PNG or JPEG images .*"
    with pytest.raises(ValueError, match=rf"\AExpected {tmp_path} {rule}; got nothing\.\Z"):
        read_files(tmp_path)
    for name in ("a.txt", "b.png.txt", "c.npy"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=rf"{rule}; got a\.txt, b\.png\.txt, c\.npy\.\Z"):
        read_files(tmp_path)
    (tmp_path / "d").mkdir()
    with pytest.raises(ValueError, match=rf"{rule}; got a\.txt, b\.png\.txt, c\.npy, \.\.\.\.\Z"):
        read_files(tmp_path)


FORMATS = "to be an NPY, NPZ, MATLAB, IDX or pickle file, or a text of numbers"
REFUSED = {
    "empty": (b"", f"{FORMATS}; got an empty file"),
    "blank": (b" \n", rf"{FORMATS}; got a file that starts with b' \\n'"),
    "text": (b"hello, reader", f"{FORMATS}; got a file that starts with b'hello, r'"),
    "numbers between commas": (b"1,2,3,4\n", rf"{FORMATS}; got a file that starts with b'1,2,3,4\\n'"),
    "a list": (b"(1, 2)\n", rf"{FORMATS}; got a file that starts with b'\(1, 2\)\\n'"),
    "IDX of floats": (b"\0\0\x0d\1" + bytes(8), f"{FORMATS}; got a file that starts with .*"),
    "HDF5": (
        b"\x89HDF\r\n\x1a\n" + bytes(99),
        r"to be of MATLAB up to version 7 \(save it with -v7\); got HDF5",
    ),
    "MATLAB 7.3": (b"MATLAB 7.3 MAT-file" + bytes(600), r"to be of MATLAB up to version 7 .*; got HDF5"),
    "a PNG image": (
        in_bytes(Image.fromarray(IMAGES[0]).save, "png"),
        "to be a data set, such as a folder of images; got a PNG image",
    ),
    "a JPEG image": (
        in_bytes(Image.fromarray(IMAGES[0]).save, "jpeg"),
        "to be a data set, such as a folder of images; got a JPEG image",
    ),
    "an empty ZIP file": (b"PK\5\6" + bytes(18), "to hold the images train and test.*; got no arrays"),
    "compressed text": (gzip.compress(b"hello, reader"), "to start with the IDX magic .*; got 0x68656c6c"),
    "a pickle of Python 2": (b"cos\nsystem\n(S'ls'\ntR.", "to hold arrays alone; got the name 'os.system'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_files_of_something_else_are_refused(tmp_path, name):
    content, message = REFUSED[name]
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match=rf"\AExpected {tmp_path / 'file'} {message}\.\Z"):
        read_files(tmp_path / "file")


def test_a_missing_path_is_refused(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"\AExpected a file or directory at .*nothing; got nothing\.\Z"
    ):
        read_files(tmp_path / "nothing")
