"""Where the page is served."""

import contextlib
import socket

import pytest

from jaxvae.explore.server import address_of, listen


def test_a_port_in_use_is_passed_over_for_the_next():
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with listen("127.0.0.1", port) as second:
            next_port = second.getsockname()[1]
            assert next_port > port
        with listen("127.0.0.1", next_port) as again:
            # A port that was just given back is free.
            assert again.getsockname()[1] == next_port


def test_the_address_is_one_that_a_browser_takes():
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert address_of(listener, "127.0.0.1") == f"http://127.0.0.1:{port}"
        assert address_of(listener, "::1") == f"http://[::1]:{port}"
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "no-such-host.invalid", "x" * 70])
def test_a_host_that_is_not_this_machine_is_refused(host):
    with pytest.raises(ValueError, match="Expected --host to be an address of this machine; got '"):
        listen(host, 0)


def test_where_every_port_is_in_use_that_is_said():
    with contextlib.ExitStack() as stack:
        last = 65535
        # Others may have it already, which serves as well.
        with contextlib.suppress(OSError):
            stack.enter_context(socket.create_server(("127.0.0.1", last)))
        with pytest.raises(ValueError, match="Expected a free port .* from 65535 on; got none"):
            listen("127.0.0.1", last)
