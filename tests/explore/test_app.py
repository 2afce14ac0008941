"""The page's requests: what is answered, and what is refused."""

import json

import numpy as np
import pytest

from jaxvae.explore.app import MAX_BYTES, is_own_name, make_app

BLANK = np.zeros((6, 5, 1)).tolist()
GOOD = {"z": [[0.0, 1.0, -1.0]], "class": 3}


@pytest.fixture(scope="module")
def client(explorer):
    return make_app(explorer).test_client()


@pytest.fixture(scope="module")
def grey_client(grey_explorer):
    return make_app(grey_explorer).test_client()


def test_latents_come_back_as_bytes(client, explorer):
    answer = client.post("/api/decode", json={"z": [[0, 1, -1], [2.5, 0, 0]], "class": 3})
    assert answer.mimetype == "application/octet-stream"
    wanted = explorer.decode(np.array([[0, 1, -1], [2.5, 0, 0]]), 3)
    assert answer.data == wanted.tobytes()


def test_a_test_image_is_encoded_with_its_own_class_unless_another_is_given(client, explorer):
    _, own = explorer.stored(5)
    assert client.post("/api/encode", json={"image": 5}).json["class"] == own
    other = client.post("/api/encode", json={"image": 5, "class": 9 - own}).json
    assert other["class"] == 9 - own
    assert other["mean"] != client.post("/api/encode", json={"image": 5}).json["mean"]


def test_a_drawing_is_encoded_and_scored(client, grey_client):
    for one, label in ((client, 3), (grey_client, None)):
        content = {"pixels": BLANK, "class": label}
        encoding = one.post("/api/encode", json=content).json
        assert len(encoding["pixels"]) == len(encoding["reconstruction"]) == 30
        score = one.post("/api/score", json=content).json
        assert score["log_p"] < 0 < score["standard_error"]
        # Of seven samples there is no k-hat, and JSON knows no NaN.
        assert score["pareto_k"] is None


def test_a_draw_is_a_latent(client):
    z = client.post("/api/draw", json={"class": 1}).json["z"]
    assert np.isfinite(z).tolist() == [True] * 3


@pytest.mark.parametrize(
    "path",
    ["/", "/explorer.js", "/explorer.css", "/icon.svg", "/api/model"],
)
def test_the_page_is_there_and_takes_nothing_from_elsewhere(client, path):
    with client.get(path) as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in answer.headers


def post(path, content, **options):
    return {"path": path, "json": content, **options}


BAD = {
    "too short": (post("decode", {"z": [[0, 1]], "class": 3}), 400, r"shape \(1, 3\); got \(1, 2\)"),
    "flat": (post("decode", {"z": [0, 1, 2], "class": 3}), 400, "nested 2 deep"),
    "ragged": (post("decode", {"z": [[0, 1, 2], [1]], "class": 3}), 400, "nested 2 deep"),
    "words": (post("decode", {"z": [["0", "1", "2"]], "class": 3}), 400, "lists of numbers"),
    "nothing": (post("decode", {"z": [[None, 1, 2]], "class": 3}), 400, "lists of numbers"),
    "true": (post("decode", {"z": [[True, True, True]], "class": 3}), 400, "lists of numbers"),
    "missing": (post("decode", {"class": 3}), 400, "Expected z to be lists .* got null"),
    "none": (post("decode", {"z": np.zeros((0, 3)).tolist(), "class": 3}), 400, "nested 2 deep"),
    "many": (post("decode", {"z": [[0, 0, 0]] * 17, "class": 3}), 400, "below 17; got 17"),
    "NaN": (post("decode", {"z": [[float("nan"), 0, 0]], "class": 3}), 400, "every latent .* got nan"),
    "inf": (post("decode", {"z": [[0, float("inf"), 0]], "class": 3}), 400, "every latent .* got inf"),
    "far": (post("decode", {"z": [[0, 1e300, 0]], "class": 3}), 400, "every latent"),
    "no class": (post("decode", {"z": [[0, 0, 0]]}), 400, "a class as the model is conditional; got none"),
    "high class": (post("decode", {"z": [[0, 0, 0]], "class": 10}), 400, "the class .* below 10; got 10"),
    "low class": (post("decode", {"z": [[0, 0, 0]], "class": -1}), 400, "the class .* got -1"),
    "half class": (post("decode", {"z": [[0, 0, 0]], "class": 1.5}), 400, "a whole number; got 1.5"),
    "true class": (post("draw", {"class": True}), 400, "a whole number; got true"),
    "draw": (post("draw", {}), 400, "a class as the model is conditional"),
    "far image": (post("encode", {"image": 37}), 400, "number of a test image .* below 37; got 37"),
    "low image": (post("encode", {"image": -1}), 400, "number of a test image .* got -1"),
    "no number": (post("score", {"image": None}), 400, "image to be a whole number; got null"),
    "both": (post("encode", {"image": 1, "pixels": BLANK}), 400, "got both"),
    "neither": (post("score", {"class": 1}), 400, "got neither"),
    "turned": (post("encode", {"pixels": [BLANK], "class": 1}), 400, "nested 3 deep"),
    "size": (post("encode", {"pixels": BLANK[1:], "class": 1}), 400, r"\(6, 5, 1\); got \(5, 5, 1\)"),
    "bright": (post("score", {"pixels": np.full((6, 5, 1), 256).tolist(), "class": 1}), 400, "from 0 to 255"),
    "dark": (post("score", {"pixels": np.full((6, 5, 1), -1).tolist(), "class": 1}), 400, "from 0 to 255"),
    "a list": (post("decode", [1, 2]), 400, "a JSON object; got a list"),
    "no JSON": ({"path": "decode", "data": "{", "content_type": "application/json"}, 400, "to be JSON"),
    "deep": ({"path": "decode", "data": "[" * 99999, "content_type": "application/json"}, 400, "to be JSON"),
    "a form": ({"path": "decode", "data": "z=1"}, 415, "application/json"),
    "text": ({"path": "decode", "data": json.dumps(GOOD), "content_type": "text/plain"}, 415, "got 'text/"),
    "huge": (post("decode", {"z": "0" * MAX_BYTES}), 413, "at most 1048576 bytes"),
    "elsewhere": (post("nowhere", {}), 404, "not found"),
    "a foreign host": (post("decode", GOOD, headers={"Host": "evil.example"}), 403, "got 'evil.example'"),
    "a rebound host": (post("decode", GOOD, headers={"Host": "evil.example:8000"}), 403, "host"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_requests_are_refused_in_a_line_and_the_next_good_one_is_answered(client, name):
    request, code, message = BAD[name]
    request = dict(request)
    answer = client.post(f"/api/{request.pop('path')}", **request)
    assert answer.status_code == code
    assert list(answer.json) == ["error"]
    assert "\n" not in answer.json["error"]
    with pytest.raises(ValueError, match=message):
        raise ValueError(answer.json["error"])
    assert client.post("/api/decode", json=GOOD).status_code == 200


def test_a_model_without_classes_takes_none(grey_client):
    answer = grey_client.post("/api/decode", json={"z": [[0, 0]], "class": 0})
    assert answer.json == {"error": "Expected no class as the model is not conditional; got 0."}


def test_pages_are_refused_to_foreign_hosts_too_and_files_beside_the_page_to_all(client):
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 403
    assert client.get("/../app.py").status_code == 404
    assert client.get("/api/decode").status_code == 405


def test_what_nobody_expected_is_a_line_and_the_next_request_is_answered(explorer, monkeypatch, caplog):
    client = make_app(explorer).test_client()
    with monkeypatch.context() as patch:
        patch.setattr(type(explorer), "draw", lambda *_: 1 / 0)
        answer = client.post("/api/draw", json={"class": 1})
    assert (answer.status_code, answer.json) == (500, {"error": "ZeroDivisionError: division by zero"})
    assert "ZeroDivisionError" in caplog.text
    assert client.post("/api/draw", json={"class": 1}).status_code == 200


@pytest.mark.parametrize(
    ("header", "host", "is_own"),
    [
        ("localhost:8000", "127.0.0.1", True),
        ("LOCALHOST", "127.0.0.1", True),
        ("127.0.0.1:8001", "127.0.0.1", True),
        ("[::1]:8000", "::1", True),
        ("box.lan:8000", "box.lan", True),
        ("10.0.0.5:8000", "0.0.0.0", True),
        ("10.0.0.5:8000", "127.0.0.1", False),
        ("evil.example", "0.0.0.0", False),
        ("localhost.evil.example", "127.0.0.1", False),
        ("evil.example:localhost", "127.0.0.1", False),
        ("", "127.0.0.1", False),
    ],
)
def test_only_names_of_this_machine_are_its_own(header, host, is_own):
    assert is_own_name(header, host) == is_own
