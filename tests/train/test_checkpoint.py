import shutil

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from jaxvae.train import Checkpoints
from tests.helpers import assert_trees_equal


def make_tree(seed=0, size=3):
    key = jax.random.key(seed)
    return {
        "w": jax.random.normal(key, (size, 2)),
        "step": jnp.asarray(seed),
        "key": key,
        "f": jnp.tanh,
        "t": 1 / 3,
    }


def arrays(tree):
    return eqx.filter(tree, eqx.is_array)


def test_a_tree_comes_back_bit_for_bit_with_its_key(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(7, make_tree(5))
    restored = checkpoints.restore(make_tree(0))
    assert_trees_equal(arrays(restored), arrays(make_tree(5)))
    assert restored["f"] is jnp.tanh
    assert restored["t"] == 1 / 3


def test_the_last_two_and_the_best_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2, 3):
        checkpoints.save(step, make_tree(step))
        if step != 3:
            checkpoints.save(step, make_tree(step), best=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3", "best"]
    assert [path.name for path in (tmp_path / "best").iterdir()] == ["2"]
    assert checkpoints.latest().name == "3"
    assert checkpoints.restore(make_tree())["step"] == 3
    assert checkpoints.restore(make_tree(), best=True)["step"] == 2


def test_without_a_best_one_the_latest_is_read(tmp_path):
    Checkpoints(tmp_path).save(4, make_tree(4))
    assert Checkpoints(tmp_path).restore(make_tree(), best=True)["step"] == 4


def empty_files(path):
    for file in path.rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def remove_arrays(path):
    shutil.rmtree(path / "default")


@pytest.mark.parametrize("damage", [empty_files, remove_arrays])
def test_a_damaged_checkpoint_is_passed_over_and_said_so(tmp_path, damage):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, make_tree(1))
    checkpoints.save(2, make_tree(2))
    damage(tmp_path / "2")
    with pytest.warns(UserWarning, match=r"Passed over the damaged checkpoint .*2:"):
        assert checkpoints.restore(make_tree())["step"] == 1


def test_one_that_was_never_finished_is_no_checkpoint(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, make_tree(1))
    (tmp_path / "2.orbax-checkpoint-tmp").mkdir()
    assert checkpoints.restore(make_tree())["step"] == 1
    checkpoints.save(2, make_tree(2))
    assert checkpoints.restore(make_tree())["step"] == 2


@pytest.mark.parametrize("best", [False, True])
@pytest.mark.parametrize("damaged", [False, True])
def test_a_step_that_was_saved_before_is_saved_again(tmp_path, best, damaged):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(2, make_tree(1), best=best)
    if damaged:
        empty_files(tmp_path / "best" / "2" if best else tmp_path / "2")
    checkpoints.save(2, make_tree(2), best=best)
    assert checkpoints.restore(make_tree(), best=best)["step"] == 2


def test_no_file_is_above_16_mb_even_where_an_array_is(tmp_path):
    def noise(seed, *shape):
        return jnp.asarray(np.random.default_rng(seed).random(shape, np.float32))

    # A prime length: nothing but single numbers divides it.
    tree = {"large": noise(0, 1, 5_000_011), "small": [noise(i, 500, 1001) for i in range(10)]}
    Checkpoints(tmp_path).save(1, tree)
    sizes = [path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()]
    assert max(sizes) <= 16e6
    assert sum(sizes) > 0.8 * 40e6
    assert len(sizes) < 50
    assert_trees_equal(Checkpoints(tmp_path).restore(jax.tree.map(jnp.zeros_like, tree)), tree)


def test_what_was_saved_in_whole_arrays_is_still_read(tmp_path):
    flat = {"['w']": np.ones((3, 2), np.float32), "['b']": np.arange(2_000_000.0)}
    with ocp.CheckpointManager(tmp_path) as manager:
        manager.save(4, args=ocp.args.StandardSave(flat))
    template = {"w": jnp.zeros((3, 2)), "b": jnp.zeros(2_000_000)}
    restored = Checkpoints(tmp_path).restore(template)
    assert_trees_equal(restored, {"w": jnp.ones((3, 2)), "b": jnp.arange(2_000_000.0)})


def test_a_plain_number_that_was_not_kept_yet_stays_what_it_is(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, make_tree())
    restored = checkpoints.restore({**make_tree(1), "new": 0.25})
    assert restored["new"] == 0.25
    assert_trees_equal(arrays(restored), arrays(make_tree()))


def test_no_checkpoint_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"Expected a readable checkpoint in .* to exist; got none\."):
        Checkpoints(tmp_path).restore(make_tree())


def test_a_checkpoint_of_another_model_is_refused_by_field(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, make_tree())
    with pytest.raises(ValueError, match=r"Expected \['w'\] in .* to have shape \(4, 2\); got \(3, 2\)\."):
        checkpoints.restore(make_tree(size=4))
    with pytest.raises(ValueError, match=r"to hold \['v'\]; got 4 other arrays\."):
        checkpoints.restore({"v": jnp.zeros(2)})
    fewer = {name: leaf for name, leaf in make_tree().items() if name != "step"}
    with pytest.raises(ValueError, match=r"to hold the arrays of this model alone; got \['step'\] too\."):
        checkpoints.restore(fewer)
