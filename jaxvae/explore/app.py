"""The page and what it asks for, as a web application; everything that comes in is checked here."""

import ipaddress
import json
import logging
import pathlib
import re
from collections.abc import Callable
from typing import Any

import flask
import numpy as np
from werkzeug.exceptions import Forbidden, HTTPException, RequestEntityTooLarge, UnsupportedMediaType

from jaxvae._checks import InputError, expected
from jaxvae.explore.explorer import Explorer
from jaxvae.writers import to_json

# A drawing is a few kilobytes.
MAX_BYTES = 2**20

_PAGE = pathlib.Path(__file__).parent / "page"
_POLICY = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def make_app(explorer: Explorer, host: str = "127.0.0.1") -> flask.Flask:
    """The application, which answers requests with the names of this machine alone.

    Args:
        explorer: of the run.
        host: the address that it is served on.
    """
    app = flask.Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BYTES
    app.before_request(lambda: _expect_host(host))
    app.after_request(_secured)
    app.register_error_handler(Exception, _refused)
    app.add_url_rule("/", view_func=lambda: _page_file("index.html"), endpoint="index")
    app.add_url_rule("/<name>", view_func=_page_file, endpoint="page")
    app.add_url_rule("/api/model", view_func=lambda: _json(explorer.describe()), endpoint="model")
    for name, answer in _ANSWERS.items():
        view = _answered(explorer, answer)
        app.add_url_rule(f"/api/{name}", view_func=view, endpoint=name, methods=["POST"])
    return app


def is_own_name(header: str, host: str) -> bool:
    """Whether a request's Host header names this machine, and not a name that someone points to it.

    Args:
        header: `NAME` or `NAME:PORT`.
        host: the address that is served on; where that is all of them, any address is this machine's.
    """
    name = re.sub(r":\d*$", "", header).strip("[]").lower()
    if name in ("localhost", "127.0.0.1", "::1", host.lower()):
        return True
    try:
        ipaddress.ip_address(name)
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _page_file(name: str) -> flask.Response:
    return flask.send_from_directory(_PAGE, name)


def _expect_host(host: str) -> None:
    header = flask.request.headers.get("Host", "")
    if not is_own_name(header, host):
        raise Forbidden(f"Expected the request's host to be {host} or localhost; got {header!r}.")


def _secured(response: flask.Response) -> flask.Response:
    response.headers.update(_HEADERS)
    return response


def _refused(error: Exception) -> tuple[flask.Response, int]:
    """Every error as one line of JSON, and the server lives on."""
    if isinstance(error, RequestEntityTooLarge):
        return _error(f"Expected a body of at most {MAX_BYTES} bytes; got more.", 413)
    if isinstance(error, HTTPException):
        return _error(error.description or error.name, error.code or 500)
    if isinstance(error, InputError):
        return _error(str(error), 400)
    logging.getLogger(__name__).error("The page's request failed.", exc_info=error)
    return _error(f"{type(error).__name__}: {error}".splitlines()[0], 500)


def _error(message: str, code: int) -> tuple[flask.Response, int]:
    return _json({"error": message}), code


def _json(content: dict[str, Any]) -> flask.Response:
    return flask.Response(to_json(content), mimetype="application/json")


def _answered(explorer: Explorer, answer: Callable[[Explorer, dict[str, Any]], flask.Response]):
    return lambda: answer(explorer, _body())


def _body() -> dict[str, Any]:
    """The request's JSON object; only what a page of another site cannot send unasked is taken."""
    request = flask.request
    if request.mimetype != "application/json":
        raise UnsupportedMediaType(f"Expected the content to be application/json; got {request.mimetype!r}.")
    try:
        content = json.loads(request.get_data())
    except (ValueError, RecursionError) as error:
        raise expected("the body", "to be JSON", f"{error}") from error
    if not isinstance(content, dict):
        raise expected("the body", "to be a JSON object", f"a {type(content).__name__}")
    return content


def _decode(explorer: Explorer, body: dict[str, Any]) -> flask.Response:
    pixels = explorer.decode(_numbers("z", body, num_axes=2), _label(body))
    return flask.Response(pixels.tobytes(), mimetype="application/octet-stream")


def _draw(explorer: Explorer, body: dict[str, Any]) -> flask.Response:
    return _json({"z": explorer.draw(_label(body)).tolist()})


def _encode(explorer: Explorer, body: dict[str, Any]) -> flask.Response:
    image, label = _image(explorer, body)
    return _json({**explorer.encode(image, label), "class": label})


def _score(explorer: Explorer, body: dict[str, Any]) -> flask.Response:
    return _json({**explorer.score(*_image(explorer, body))})


_ANSWERS = {"decode": _decode, "draw": _draw, "encode": _encode, "score": _score}


def _image(explorer: Explorer, body: dict[str, Any]) -> tuple[np.ndarray, int | None]:
    """The test image of a number, or the one that was drawn; the former's class is its own unless given."""
    label = _label(body)
    if ("image" in body) == ("pixels" in body):
        raise InputError(
            "Expected image, a number, or pixels; got " + ("both." if "image" in body else "neither.")
        )
    if "pixels" in body:
        return explorer.from_drawing(_numbers("pixels", body, num_axes=3)), label
    image, own = explorer.stored(_whole("image", body["image"]))
    return image, own if label is None else label


def _label(body: dict[str, Any]) -> int | None:
    label = body.get("class")
    return None if label is None else _whole("class", label)


def _whole(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise expected(name, "to be a whole number", json.dumps(value)[:40])
    return value


def _numbers(name: str, body: dict[str, Any], num_axes: int) -> np.ndarray:
    """Lists in lists of numbers, as an array of so many axes."""
    try:
        values = np.asarray(body.get(name))
    except ValueError:  # lists of unequal lengths
        values = np.asarray(None)
    if values.dtype.kind not in "iuf" or values.ndim != num_axes:
        got = json.dumps(body.get(name))[:40]
        raise expected(name, f"to be lists of numbers, nested {num_axes} deep", got)
    return values.astype(np.float64)
