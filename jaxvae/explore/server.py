"""A socket, on the next port where one is in use, and the server of an application on it."""

import errno
import logging
import socket
from typing import Any

from waitress.server import create_server

from jaxvae._checks import expected

_NUM_TRIED = 100


def listen(host: str, port: int) -> socket.socket:
    """A listening socket on the port, or on the next one that is free.

    Args:
        host: a name or an address of this machine.
        port: where to begin; 0 for any.

    Raises:
        ValueError: if the host is not of this machine, the port may not be used, or none is free.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise expected("--host", "to be an address of this machine", repr(host)) from error
    for candidate in range(port, min(port + _NUM_TRIED, 2**16)):
        listener = socket.socket(family, kind)
        # Else the port of a server that was just stopped would count as in use.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address[0], candidate, *address[2:]))
            listener.listen()
            return listener
        except OSError as error:
            listener.close()
            if error.errno == errno.EADDRNOTAVAIL:
                raise expected("--host", "to be an address of this machine", repr(host)) from error
            if error.errno != errno.EADDRINUSE:
                reason = f"{candidate} ({error.strerror})"
                raise expected("--port", "to be one that may be used", reason) from error
    raise expected("a free port", f"among the {_NUM_TRIED} from {port} on", "none")


def address_of(listener: socket.socket, host: str) -> str:
    """The page's address, as a browser takes it."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listener.getsockname()[1]}"


def serve(app: Any, listener: socket.socket, max_bytes: int) -> None:
    """Answers requests until Ctrl-C.

    Args:
        app: a WSGI application.
        listener: from `listen`.
        max_bytes: of a request's body; a longer one is refused before it is read.
    """
    # It warns where more than four requests come at once.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    create_server(app, sockets=[listener], max_request_body_size=max_bytes, ident=None).run()
