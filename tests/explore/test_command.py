"""`jaxvae explore` in a process of its own, asked over its socket and in headless Chromium."""

import contextlib
import importlib.util
import json
import pathlib
import re
import signal
import socket
import sys
import urllib.error
import urllib.request

import pytest

from jaxvae.explore.server import listen
from tests.test_cli import environment, run_main

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def served(conditional):
    """(process, lines that it printed, port) of a server whose first port was taken."""
    with listen("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        options = ("--port", port, "--num-samples", "7")
        with benchmark.serving(conditional[0].directory, *options, env=environment()) as (process, lines):
            yield process, lines, int(re.search(r":(\d+) ", lines[-1])[1])


def load_benchmark():
    pytest.importorskip("selenium")
    spec = importlib.util.spec_from_file_location("explorer_benchmark", ROOT / "benchmarks" / "explorer.py")
    module = importlib.util.module_from_spec(spec)
    # Where dataclasses look for the names of their annotations.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


benchmark = load_benchmark()


def ask(port, content, host=None):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/decode",
        json.dumps(content).encode(),
        {"Content-Type": "application/json", **({} if host is None else {"Host": host})},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_a_port_in_use_is_said_and_the_next_free_one_serves(served, conditional):
    _, (in_use, _, serving), port = served
    asked = int(re.fullmatch(r"Port (\d+) is in use; serving on (\d+)\.\n", in_use)[1])
    assert port > asked
    assert serving == f"{conditional[0].directory}: http://127.0.0.1:{port} (Ctrl-C to stop)\n"


def test_what_is_foreign_or_huge_is_refused_and_the_server_lives_on(served):
    _, _, port = served
    good = {"z": [[0, 0, 0]], "class": 1}
    assert ask(port, good, host="evil.example")[0] == 403
    assert ask(port, good)[0] == 200
    # Refused by its length alone, before it is sent.
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        head = "POST /api/decode HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: 99999999999\r\n\r\n".encode())
        assert b" 413 " in connection.recv(100)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(b"\x00nonsense\r\n\r\n")
        assert b" 400 " in connection.recv(100)
    status, pixels = ask(port, good)
    assert (status, len(pixels)) == (200, 30)


@pytest.fixture(scope="module")
def page(served):
    if not benchmark.is_installed():
        pytest.skip("Needs Chromium and its driver (Debian: chromium, chromium-driver).")
    with benchmark.browsing(f"http://127.0.0.1:{served[2]}") as driver:
        yield Page(driver)


def number(said):
    return float(said.replace("\N{MINUS SIGN}", "-"))


class Page:
    """What a person does with the page, and sees on it."""

    def __init__(self, driver):
        self.driver = driver

    def find(self, name):
        return self.driver.find_element("id", name)

    def wait(self, condition):
        benchmark.wait(self.driver, condition)

    def pixels(self, name):
        """What a canvas shows."""
        return self.driver.execute_script("return arguments[0].toDataURL()", self.find(name))

    def z(self):
        """The latents as the page says them, by their order."""
        said = self.driver.find_elements("css selector", "#sliders output")
        return [number(output.text) for output in said]

    @contextlib.contextmanager
    def changes(self, *names):
        """Waits until canvases show something else."""
        before = {name: self.pixels(name) for name in names}
        yield
        self.wait(lambda: all(self.pixels(name) != old for name, old in before.items()))

    def drag(self, name, *places):
        element = self.find(name)
        for what, place in zip(["Pressed", *["Moved"] * (len(places) - 1)], places, strict=True):
            benchmark.mouse(self.driver, element, what, *place)
        benchmark.mouse(self.driver, element, "Released", *places[-1])


RIGHT, UP, HOME = "\ue014", "\ue013", "\ue011"


def test_sliders_move_the_picture_by_the_keyboard_too(page):
    slider = page.driver.find_element("css selector", "#sliders input")
    before = page.z()
    with page.changes("decoded", "plane"):
        slider.send_keys(HOME)
    with page.changes("decoded"):
        slider.send_keys(*[RIGHT] * 30)
    after = page.z()
    assert after[0] < before[0]
    assert after[1:] == before[1:]
    page.find("center").click()
    page.wait(lambda: page.z() == before)
    page.find("draw-prior").click()
    page.wait(lambda: all(a != b for a, b in zip(page.z(), before, strict=True)))


def test_the_plane_is_dragged_on_and_walked_on(page):
    plane = page.find("plane")
    with page.changes("decoded", "plane"):
        page.drag("plane", (0.5, 0.5), (0.9, 0.2))
    right, up = said_by(plane)
    assert right > 0.5
    assert up > 0.5
    with page.changes("decoded", "plane"):
        plane.send_keys(*[UP] * 5)
    assert said_by(plane)[0] == right
    assert said_by(plane)[1] > up


def said_by(plane):
    return [number(part.split()[-1]) for part in plane.get_attribute("aria-valuetext").split(", ")]


def test_a_drawing_is_encoded_and_scored(page):
    assert not page.find("use-drawing").is_enabled()
    with page.changes("drawing", "seen", "reconstruction", "plane"):
        page.drag("drawing", (0.2, 0.2), (0.4, 0.2), (0.3, 0.6))
    page.wait(lambda: "nats" in page.find("score").text)
    said = r"log p\(x \| class 0\) \S+ \S \d+\.\d\d nats \(7 importance samples; .*size \d+\); ELBO \S+ nats"
    assert re.fullmatch(said, page.find("score").text)
    with page.changes("drawing", "seen"):
        page.find("middle").click()
    with page.changes("decoded"):
        page.find("use-drawing").click()
    moments = [row.text.split() for row in page.driver.find_elements("css selector", "#moments dd")]
    assert [len(row) for row in moments] == [3, 3, 3]
    assert [number(row[0]) for row in moments] == page.z()
    assert all(0 < number(row[2]) < 2 for row in moments)


def test_a_drawing_is_made_by_the_keyboard_too(page):
    with page.changes("drawing"):
        page.find("clear").click()
    page.wait(lambda: not page.find("score").text)
    with page.changes("drawing", "seen"):
        page.find("drawing").send_keys(RIGHT, " ", UP, " ")
    page.wait(lambda: "nats" in page.find("score").text)
    with page.changes("drawing"):
        page.find("drawing").send_keys("\ue003")


def test_two_test_images_are_chosen_and_the_way_between_them_walked(page):
    to, t = page.find("to"), page.find("t")
    with page.changes("to-picture", "strip"):
        page.driver.execute_script("arguments[0].value = ''", to)
        to.send_keys("12", "\ue004")
    with page.changes("strip"):
        page.find("from-random").click()
    with page.changes("decoded", "between"):
        t.send_keys(*[RIGHT] * 20)
    page.wait(lambda: page.find("t-value").text == "0.70")
    page.wait(lambda: page.pixels("between") == page.pixels("decoded"))


def test_a_wrong_number_is_said_and_the_page_goes_on(page):
    to = page.find("to")
    page.driver.execute_script("arguments[0].value = ''", to)
    to.send_keys("37", "\ue004")
    page.wait(lambda: "below 37; got 37" in page.find("error").text)
    page.find("to-random").click()
    page.wait(lambda: not page.find("error").text)
    refused = page.driver.get_log("browser")
    assert [entry["message"] for entry in refused if "api/encode" not in entry["message"]] == []


def test_another_class_is_another_picture(page):
    page.find("draw-prior").click()
    with page.changes("decoded", "strip"):
        page.driver.execute_script("document.getElementById('class').focus()")
        page.find("class").send_keys("7")
    page.wait(lambda: page.find("class").get_attribute("value") == "7")


def test_a_hundred_moves_are_timed_without_an_error(page, capsys):
    times = benchmark.round_trips(page.driver, 100, lambda i: benchmark.move_slider(page.driver, i))
    with capsys.disabled():
        print(f"\nround trip of 100 moves: median {times['median']:.1f} ms")
    assert page.find("round-trip").text == f"median {times['median']:.1f} ms of the last 100 moves"
    assert [entry for entry in page.driver.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_a_phone_shows_all_of_it_without_scrolling_sideways(page):
    benchmark.resize(page.driver, 375, 812)
    script = "return [innerWidth, document.documentElement.scrollWidth]"
    assert page.driver.execute_script(script) == [375, 375]
    # Each control has a name.
    script = "return [...document.querySelectorAll('input, select')].filter((e) => !e.labels.length).length"
    assert page.driver.execute_script(script) == 0


def test_a_stopped_server_is_said_by_the_page_and_ends_well(served, page):
    process, _, _ = served
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 0
    page.find("center").click()
    page.wait(lambda: "The server does not answer" in page.find("error").text)


def explore(capsys, *arguments):
    code, _, err = run_main(capsys, "explore", *arguments)
    assert len(err.splitlines()) == 1
    return code, err


def test_a_run_without_a_checkpoint_is_a_line(conditional, tmp_path, capsys):
    (tmp_path / "config.json").write_bytes((conditional[0].directory / "config.json").read_bytes())
    code, err = explore(capsys, tmp_path, "--port", 0)
    assert code == 2
    assert "checkpoint" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--port", 65536], "Expected --port to be at least 0 and below 65536; got 65536."),
        (["--num-samples", 0], "Expected --num-samples to be positive; got 0."),
        (["--host", "192.0.2.1"], "Expected --host to be an address of this machine; got '192.0.2.1'."),
    ],
)
def test_bad_options_are_a_line(conditional, capsys, options, message):
    assert explore(capsys, conditional[0].directory, *options) == (2, f"jaxvae: {message}\n")


@pytest.mark.parametrize("missing", ["flask", "waitress"])
def test_without_the_extra_a_line_says_what_to_install(conditional, capsys, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    for name in list(sys.modules):
        if name.startswith((f"{missing}.", "jaxvae.explore.")):
            monkeypatch.delitem(sys.modules, name)
    code, err = explore(capsys, conditional[0].directory)
    assert code == 2
    wanted = "Expected Flask and waitress to be installed (pip install 'jaxvae[explore]')"
    assert err == f"jaxvae: {wanted}; got no {missing}.\n"
