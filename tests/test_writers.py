import json

import pytest

from jaxvae.writers import Console, JsonLines, TensorBoard, Writers, load_records

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
    path.write_text(json.dumps(RECORD) + '\n{"step": 5')
    assert load_records(path) == [RECORD]


def test_tensorboard_gets_every_number_of_a_record(tmp_path):
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import RecordWriter  # noqa: F401 (the format that is read here)

    writer = TensorBoard(tmp_path)
    writer.write(RECORD)
    writer.close()
    (path,) = tmp_path.glob("events.*")
    content, events = path.read_bytes(), []
    while content:  # length, its checksum, the event, its checksum
        length = int.from_bytes(content[:8], "little")
        events.append(Event.FromString(content[12 : 12 + length]))
        content = content[16 + length :]
    scalars = {(v.tag, e.step): v.simple_value for e in events for v in e.summary.value}
    assert scalars[("train_elbo", 500)] == pytest.approx(-101.5)
    assert set(tag for tag, _ in scalars) == {"train_elbo", "examples_per_second"}


def test_writers_tell_each_of_them(tmp_path):
    paths = [tmp_path / name for name in "ab"]
    writers = Writers(*(JsonLines(path) for path in paths))
    writers.advance(3)
    writers.write(RECORD)
    writers.close()
    assert [load_records(path) for path in paths] == [[RECORD], [RECORD]]
