import numpy as np
import pytest
from PIL import Image

from jaxvae.data.files.folders import holds_images, read_folder
from jaxvae.data.stored import drawn_order
from tests.data.files.helpers import assert_stored, held_out, some_images


def write(directory, images, *, suffix="png", mode=None):
    """Images by their names; 10.png comes before 9.png."""
    for name, image in images.items():
        path = directory / f"{name}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(image)
        picture.convert(mode or picture.mode).save(path)
    return directory


def numbered(names, **kwargs):
    return dict(zip(names, some_images(len(names), 4, 5, **kwargs), strict=True))


def stack(images):
    return np.stack(list(images.values()))


@pytest.mark.parametrize("validation", ["validation", "valid", "val"])
def test_splits_and_classes_are_folders(tmp_path, validation):
    names = ["train/cat/10", "train/cat/9", "train/ant/b", f"{validation}/cat/x", "test/cat/x", "test/bee/y"]
    images = numbered([*names, "train/bee/z"])
    stored = read_folder(write(tmp_path, images))
    order = ["train/ant/b", "train/bee/z", "train/cat/10", "train/cat/9", f"{validation}/cat/x"]
    order += ["test/bee/y", "test/cat/x"]
    pixels = np.stack([images[name] for name in order])
    assert_stored(stored, pixels, labels=[0, 1, 2, 2, 2, 1, 2], num_validation=1, num_test=2)


def test_what_is_held_out_of_training_images_is_of_all_classes(tmp_path):
    names = [f"train/{label}/{number:02}" for label in "ab" for number in range(24)]
    images = numbered([*names, "test/a/x"])
    stored = read_folder(write(tmp_path, images))
    order = drawn_order(48)
    pixels = np.concatenate([stack(images)[:48][order], stack(images)[48:]])
    assert_stored(stored, pixels, labels=[*(order // 24), 0], num_test=1)
    assert set(stored.labels[40:48].tolist()) == {0, 1}


def test_splits_without_classes(tmp_path):
    images = numbered(["train/a", "train/b", "train/c", "test/a"])
    assert_stored(read_folder(write(tmp_path, images)), stack(images), num_test=1)


def test_of_classes_without_splits_a_part_is_held_out(tmp_path):
    images = numbered([f"{label}/{number:02}" for label in ("a", "train") for number in range(15)])
    labels = np.repeat([0, 1], 15)
    stored = read_folder(write(tmp_path, images))
    assert_stored(stored, held_out(stack(images)), labels=held_out(labels), num_test=3)


def test_of_images_alone_a_part_is_held_out(tmp_path):
    images = numbered([f"{number:02}" for number in range(30)])
    assert_stored(read_folder(write(tmp_path, images)), held_out(stack(images)), num_test=3)


def test_one_image_with_colour_makes_all_rgb(tmp_path):
    grey, colour = some_images(3, 4, 5), some_images(1, 4, 5, channels=3)
    write(tmp_path, {"train/a": grey[0], "train/b": grey[1], "test/a": grey[2], "train/c": colour[0]})
    pixels = np.concatenate(
        [np.repeat(grey[:2, ..., None], 3, -1), colour, np.repeat(grey[2:, ..., None], 3, -1)]
    )
    assert_stored(read_folder(tmp_path), pixels, num_test=1)


@pytest.mark.parametrize("mode", ["1", "L", "LA"])
def test_grey_modes_stay_grey(tmp_path, mode):
    images = {name: image // 128 * 255 for name, image in numbered(["train/a", "train/b", "test/a"]).items()}
    assert_stored(read_folder(write(tmp_path, images, mode=mode)), stack(images), num_test=1)


@pytest.mark.parametrize("colour", [False, True])
def test_a_palette_is_grey_or_not_by_what_is_in_it(tmp_path, colour):
    images = {name: image % 3 for name, image in numbered(["train/a", "train/b", "test/a"]).items()}
    palette = np.array([[5, 5, 5], [90, 90, 90], [200, 200 - 60 * colour, 200]], np.uint8)
    for name, image in images.items():
        picture = Image.fromarray(image).convert("L")
        picture.putpalette(palette.tobytes())
        (tmp_path / name).parent.mkdir(exist_ok=True)
        picture.save(tmp_path / f"{name}.png", transparency=bytes([0, 100, 255]))
    pixels = palette[stack(images)]
    assert_stored(read_folder(tmp_path), pixels if colour else pixels[..., 0], num_test=1)


@pytest.mark.parametrize("suffix", ["jpg", "JPEG"])
def test_jpeg_images_come_back_but_for_its_loss(tmp_path, suffix):
    ramp = np.add.outer(10 * np.arange(16), 3 * np.arange(8)).astype(np.uint8)
    images = {"train/a": ramp, "train/b": 255 - ramp, "test/a": ramp[::-1]}
    stored = read_folder(write(tmp_path, images, suffix=suffix))
    assert stored.images.shape == (3, 1, 16, 8)
    assert np.abs(stored.images[:, 0].astype(int) - stack(images)).max() < 12


def test_hidden_and_other_files_are_passed_over(tmp_path):
    images = numbered(["train/a/1", "train/a/2", "val/a/1", "test/a/1"])
    write(tmp_path, images)
    write(tmp_path, numbered(["train/.hidden/1", "train/a/.hidden", ".hidden"]))
    (tmp_path / "train" / "empty").mkdir()
    for name in ("train/a/notes.txt", "train/notes.txt", "notes.npy"):
        (tmp_path / name).write_text("notes")
    assert_stored(read_folder(tmp_path), stack(images), labels=[0, 0, 0, 0], num_validation=1, num_test=1)


@pytest.mark.parametrize(
    ("name", "found"), [("a", True), ("b/a", True), ("c/b/a", True), ("d/c/b/a", False), (".a", False)]
)
def test_whether_there_are_images(tmp_path, name, found):
    assert holds_images(write(tmp_path, numbered([name]))) == found


A, B = some_images(2, 4, 5)
BAD = {
    "a class without training images": (
        {"train/a/1": A, "test/a/1": A, "test/zebra/1": B},
        r"Expected the classes of .* to have training images; got zebra\.",
    ),
    "no test images": ({"train/a": A, "train/b": B}, r"to have training and test images; got train\."),
    "no training images": (
        {"test/a": A, "val/b": B},
        r"to have training and test images; got validation, test\.",
    ),
    "two validation folders": (
        {"train/a": A, "val/b": B, "valid/c": A},
        r"to have one validation folder; got valid, val\.",
    ),
    "labels of one split": (
        {"train/a/1": A, "test/1": B},
        r"to have labels, or none; got those of train\.",
    ),
    "images beside folders": (
        {"train/a/1": A, "train/1": B, "test/a/1": A},
        r"Expected .*train to have its images in folders, or none of them; got 1\.png beside folders\.",
    ),
    "another size": (
        {"b/a": A, "a/b": B, "a/c": some_images(1, 4, 6)[0]},
        r"Expected the images of .* to have the size of a/b\.png, 4 x 5; got 4 x 6 for a/c\.png\.",
    ),
    "16 bits": (
        {"a": A, "b": B.astype(np.uint16)},
        r"Expected .*b\.png to have 8 bits a pixel and channel; got mode I.*\.",
    ),
    "one image": ({"a": A}, r"to hold at least two images; got 1\."),
    "constant images": ({"a": 0 * A, "b": 0 * A}, r"not to be constant; got 2 that are\."),
    "images too deep": ({"a/b/c/d": A}, r"to hold PNG or JPEG images; got none \(all\)\."),
    "an empty split": ({"train/a": A, "test/b/c/d": B}, r"to hold PNG or JPEG images; got none \(test\)\."),
}


@pytest.mark.parametrize("name", BAD)
def test_folders_that_do_not_fit_are_refused(tmp_path, name):
    images, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        read_folder(write(tmp_path, images))


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_truncated_images_are_refused_by_name(tmp_path, suffix):
    images = {f"sub/{name}": image for name, image in zip("abc", some_images(3, 40, 40), strict=True)}
    path = write(tmp_path, images, suffix=suffix) / f"sub/b.{suffix}"
    content = path.read_bytes()
    for size in (0, 10, 30, len(content) // 2):
        path.write_bytes(content[:size])
        with pytest.raises(
            ValueError, match=rf"\AExpected .*sub/b\.{suffix} to be a whole image; got .+\.\Z"
        ):
            read_folder(tmp_path)
