import json
import resource

import pytest

from jaxvae.writers import Console, JsonLines, TensorBoard, Writers, load_records, to_json

RECORD = {"step": 500, "train_elbo": -101.5, "examples_per_second": 12345.6}


def test_console_prints_a_line_per_record_with_blanks_for_what_is_missing(capsys):
    console = Console(1000, ["train_elbo", "validation_elbo", "examples_per_second"])
    console.advance(500)
    console.write(RECORD)
    console.write({**RECORD, "step": 1000, "validation_elbo": -99.25})
    console.close()
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split() == ["step", "train", "elbo", "validation", "elbo", "examples", "per", "second"]
    assert first.split() == ["500", "-101.500", "12,346"]
    assert second.split() == ["1000", "-101.500", "-99.250", "12,346"]
    assert len(first) == len(second) == len(header)


def test_a_quiet_console_prints_nothing_on_standard_output(capsys):
    console = Console(10, ["train_elbo"], lines=False)
    console.write(RECORD)
    console.close()
    assert capsys.readouterr().out == ""


def test_json_lines_drop_what_a_resumed_run_will_write_again(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for start, steps in ((0, (1, 2, 3)), (2, (3, 4))):
        writer = JsonLines(path, step=start)
        for step in steps:
            writer.write({"step": step, "part": start})
        writer.close()
    assert [(r["step"], r["part"]) for r in load_records(path)] == [(1, 0), (2, 0), (3, 2), (4, 2)]


def test_an_unfinished_last_line_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps(RECORD) + '\n{"step": 5\n' + json.dumps(RECORD) + '\n{"st')
    assert load_records(path) == [RECORD, RECORD]


def read_events(path):
    from tensorboardX.proto.event_pb2 import Event

    content = path.read_bytes()
    while content:  # length, its checksum, the event, its checksum
        length = int.from_bytes(content[:8], "little")
        yield Event.FromString(content[12 : 12 + length])
        content = content[16 + length :]


def test_tensorboard_gets_every_number_of_a_record(tmp_path):
    writer = TensorBoard(tmp_path, step=499)
    writer.write({**RECORD, "kl_per_latent": [0.5, 2.0]})
    writer.close()
    (path,) = tmp_path.glob("events.out.tfevents.*")
    version, start, event = read_events(path)
    assert version.file_version == "brain.Event:2"
    assert (start.step, start.session_log.status) == (500, 1)
    assert event.step == 500
    assert {v.tag: v.simple_value for v in event.summary.value} == {
        "train_elbo": -101.5,
        "examples_per_second": pytest.approx(12345.6),
        "kl_per_latent/000": 0.5,
        "kl_per_latent/001": 2.0,
    }


@pytest.mark.parametrize("make", [lambda path: TensorBoard(path), lambda path: JsonLines(path / "x")])
def test_a_full_disk_is_an_error_and_not_a_hang(tmp_path, make):
    writer = make(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill():
        for _ in range(1000):
            writer.write(RECORD)

    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            fill()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        writer.close()


def test_json_has_null_for_what_is_not_finite():
    content = {"a": float("nan"), "b": {"c": float("inf")}, "d": 1.5, "e": [2.5, float("nan")]}
    assert json.loads(to_json(content)) == {"a": None, "b": {"c": None}, "d": 1.5, "e": [2.5, None]}


def test_writers_tell_each_of_them(tmp_path):
    paths = [tmp_path / name for name in "ab"]
    writers = Writers(*(JsonLines(path) for path in paths))
    writers.advance(3)
    writers.write(RECORD)
    writers.close()
    assert [load_records(path) for path in paths] == [[RECORD], [RECORD]]
