"""A receiver of webhooks, with the standard library alone."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from blackbox.customers import Json


def verifies(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """As Standard Webhooks 1.0 has a receiver do it."""
    if abs(time.time() - int(headers["webhook-timestamp"])) > 300:
        return False
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return any(hmac.compare_digest(given, expected) for given in headers["webhook-signature"].split(" "))


@dataclass(frozen=True)
class Call:
    headers: Mapping[str, str]
    body: bytes
    answer: int

    @property
    def told(self) -> Json:
        told: Json = json.loads(self.body)
        return told


@dataclass
class Hook:
    """Answers 204, or what it was told to for a customer, or for all."""

    calls: list[Call] = field(default_factory=list)
    answers: dict[str, int] = field(default_factory=dict)
    answer: int = 204

    def taken(self, customer: str) -> list[int]:
        """The versions that were taken, in the order in which they came."""
        told = [call.told for call in [*self.calls] if call.answer == 204]
        return [event["data"]["version"] for event in told if event["subject"] == customer]

    def __enter__(self) -> Self:
        hook = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                customer = json.loads(body)["subject"]
                answer = hook.answers.get(customer, hook.answer)
                headers = {name.lower(): value for name, value in self.headers.items()}
                hook.calls.append(Call(headers, body, answer))
                self.send_response(answer)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook?of=customerflow"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
