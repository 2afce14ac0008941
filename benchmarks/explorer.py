"""The decode round trip of `jaxvae explore`, from the request to the painted picture, in headless Chromium.

Chromium and its driver are Debian's packages `chromium` and `chromium-driver`.
"""

import contextlib
import dataclasses
import math
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import tyro
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from jaxvae.writers import to_json

_SECONDS = 60


@dataclasses.dataclass(frozen=True)
class Arguments:
    """What to measure."""

    run: tyro.conf.Positional[pathlib.Path]
    """A run directory."""
    moves: int = 100
    """Moves of a slider, and as many on the plane; 100 at most, as the page keeps no more."""


def is_installed() -> bool:
    """Whether there is a browser to measure in."""
    return bool(_chromium() and shutil.which("chromedriver"))


def _chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextlib.contextmanager
def serving(run: pathlib.Path, *options: str, **popen) -> Iterator[tuple[subprocess.Popen, list[str]]]:
    """The command's process and what it printed until it served."""
    command = [sys.executable, "-m", "jaxvae", "explore", str(run), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **popen) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline()]
            while lines[-1] and "http" not in lines[-1]:
                lines.append(process.stdout.readline())
            yield process, lines
        finally:
            process.kill()


@contextlib.contextmanager
def browsing(address: str, width: int = 1280, height: int = 900) -> Iterator[Chrome]:
    """The page in a window of that size, once it has decoded."""
    options = ChromeOptions()
    options.binary_location = _chromium() or ""
    # Root has no sandbox.
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        resize(driver, width, height)
        driver.get(address)
        wait(driver, lambda: num_decoded(driver) > 0)
        yield driver
    finally:
        driver.quit()


def resize(driver: Chrome, width: int, height: int) -> None:
    """Makes the page so large, and a phone's where it is narrow."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def wait(driver: Chrome, condition: Callable[[], object]) -> None:
    """Until something is so."""
    WebDriverWait(driver, _SECONDS, poll_frequency=0.005).until(lambda _: condition())


def num_decoded(driver: Chrome) -> int:
    """How often the page has decoded."""
    return int(driver.find_element(By.ID, "round-trip").get_attribute("data-count") or 0)


def round_trips(driver: Chrome, count: int, move: Callable[[int], object]) -> dict[str, float]:
    """Moves so often, each time when the last picture is there, and returns what the page measured, in ms."""
    for i in range(count):
        before = num_decoded(driver)
        move(i)
        wait(driver, lambda before=before: num_decoded(driver) > before)
    output = driver.find_element(By.ID, "round-trip")
    return {name: float(output.get_attribute(f"data-{name}") or "nan") for name in ("median", "p95")}


def move_slider(driver: Chrome, i: int) -> None:
    """One step of the first slider by its key, to and fro."""
    slider = driver.find_element(By.CSS_SELECTOR, "#sliders input")
    slider.send_keys(Keys.ARROW_RIGHT if i // 25 % 2 == 0 else Keys.ARROW_LEFT)


def drag_plane(driver: Chrome, i: int) -> None:
    """To a place near the last one on the plane, with the mouse held."""
    plane = driver.find_element(By.ID, "plane")
    if i == 0:
        mouse(driver, plane, "Pressed", 0.5, 0.5)
    angle = 2 * math.pi * i / 100
    mouse(driver, plane, "Moved", 0.5 + 0.3 * math.sin(angle), 0.5 + 0.3 * math.sin(2 * angle))


def mouse(driver: Chrome, element: WebElement, what: str, x: float, y: float) -> None:
    """`Pressed`, `Moved` or `Released`, the left button, at a place of an element in shares of its size."""
    script = "arguments[0].scrollIntoView({block: 'center'}); return arguments[0].getBoundingClientRect()"
    box = driver.execute_script(script, element)
    place = {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}
    event = {"type": f"mouse{what}", "button": "left", "buttons": 1, "clickCount": 1, **place}
    driver.execute_cdp_cmd("Input.dispatchMouseEvent", event)


def main() -> None:
    """Prints one line of JSON."""
    arguments = tyro.cli(Arguments)
    with serving(arguments.run, "--port", "0") as (_, lines):
        address = lines[-1].split()[1]
        with browsing(address) as driver:
            time.sleep(1)  # the rest of the page
            rows = {"slider": round_trips(driver, arguments.moves, lambda i: move_slider(driver, i))}
            if driver.find_element(By.ID, "plane").is_displayed():
                rows["plane"] = round_trips(driver, arguments.moves, lambda i: drag_plane(driver, i))
            severe = [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
    print(to_json({"run": arguments.run.name, "moves": arguments.moves, "ms": rows, "errors": severe}))


if __name__ == "__main__":
    main()
