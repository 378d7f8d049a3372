"""How a program comes, says how it is, and goes."""

import asyncio
import itertools
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from customerflow_shared import service
from prometheus_client.parser import text_string_to_metric_families

PROGRAMS = Path(__file__).parent / "programs.py"
SECRET = "ana@example.com"
MOST_CONNECTIONS = 3  # of the crowded one

Program = Callable[..., "Running"]


class Running:
    """A program in a process of its own, on a free port."""

    def __init__(self, name: str, drain_delay: float = 0) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, str(PROGRAMS), name, str(port), str(drain_delay)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def wait_live(self) -> "Running":
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                httpx.get(self.url + "/health/live")
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                return self
        raise TimeoutError

    def asked_to_leave(self) -> "Running":
        self.process.send_signal(signal.SIGTERM)
        return self

    def output(self) -> str:
        return self.process.communicate(timeout=20)[0]


@pytest.fixture
def program() -> Iterator[Program]:
    started: list[Running] = []

    def start(name: str, drain_delay: float = 0) -> Running:
        started.append(Running(name, drain_delay))
        return started[-1]

    yield start
    for running in started:
        running.process.kill()
        running.process.communicate()


def test_a_program_that_is_asked_to_leave_flushes_its_traces_and_leaves_with_success(program: Program) -> None:
    running = program("healthy").wait_live().asked_to_leave()
    assert "telemetry is shut down" in running.output()
    assert running.process.returncode == 0


def test_a_program_tells_what_it_has_measured(program: Program) -> None:
    running = program("healthy").wait_live()
    for _ in range(2):
        httpx.get(running.url + "/slow")
    httpx.get(running.url + f"/nowhere/{SECRET}")
    told = httpx.get(running.url + "/metrics")
    assert told.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = {
        (sample.name, sample.labels.get("http_route", sample.labels.get("service_name"))): sample
        for family in text_string_to_metric_families(told.text)
        for sample in family.samples
        if sample.name in ("http_server_request_duration_seconds_count", "target_info")
    }
    assert samples["target_info", "customerflow-healthy"].value == 1
    assert samples["http_server_request_duration_seconds_count", "/slow"].value == 2
    assert samples["http_server_request_duration_seconds_count", ""].labels["http_response_status_code"] == "404"
    assert SECRET not in told.text
    assert "/metrics" not in httpx.get(running.url + "/docs/openapi.json").json()["paths"]


def test_a_program_whose_telemetry_is_switched_off_measures_nothing(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    running = program("healthy").wait_live()
    assert httpx.get(running.url + "/slow").text == "done"
    told = httpx.get(running.url + "/metrics")
    assert (told.status_code, told.text) == (200, "")


def test_a_program_leaves_in_time_though_nobody_takes_its_traces(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
        running = program("healthy").wait_live()
        assert httpx.get(running.url + "/slow").text == "done"
        asked = time.monotonic()
        running.asked_to_leave()
        assert running.process.wait(20) == 0
        assert 1 < time.monotonic() - asked < 8  # it has tried, but not for as long as the exporter would


def test_a_request_under_way_is_finished_first(program: Program) -> None:
    running = program("healthy").wait_live()
    with httpx.Client(base_url=running.url) as client, ThreadPoolExecutor() as pool:
        client.get("/health/live")
        request = pool.submit(client.get, "/slow")
        time.sleep(0.25)
        running.asked_to_leave()
        assert request.result().text == "done"
    assert running.process.wait(20) == 0


def test_while_it_drains_it_answers_but_is_not_ready(program: Program) -> None:
    running = program("healthy", drain_delay=1.0).wait_live()
    asked = time.monotonic()
    running.asked_to_leave()
    time.sleep(0.3)
    ready = httpx.get(running.url + "/health/ready")
    assert (ready.status_code, ready.json()["checks"]) == (503, {"process": "leaving"})
    assert running.process.wait(20) == 0
    assert time.monotonic() - asked >= 1.0


async def test_whoever_has_reached_a_program_that_leaves_is_answered(program: Program) -> None:
    running = program("healthy").wait_live()
    port = int(running.url.rsplit(":", 1)[1])
    many = asyncio.Semaphore(0)

    async def connect_again_and_again() -> int:
        for answered in itertools.count():
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                return answered
            writer.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
            writer.close()
            many.release()
        raise AssertionError

    clients = [asyncio.create_task(connect_again_and_again()) for _ in range(30)]
    for _ in range(100):
        await many.acquire()
    running.asked_to_leave()
    assert sum(await asyncio.gather(*clients)) > 100
    assert await asyncio.to_thread(running.process.wait, 20) == 0


async def test_a_kept_connection_is_not_closed_under_a_client_that_uses_it(program: Program) -> None:
    running = program("healthy").wait_live()
    async with httpx.AsyncClient(base_url=running.url) as seldom, httpx.AsyncClient(base_url=running.url) as never:
        for client in (seldom, never):
            assert "connection" not in (await client.get("/docs/openapi.json")).headers
        running.asked_to_leave()
        await asyncio.sleep(service.IDLE_SECONDS / 2)
        assert (await seldom.get("/docs/openapi.json")).headers["connection"] == "close"
        with pytest.raises(httpx.ConnectError):
            await seldom.get("/docs/openapi.json")
        assert await asyncio.to_thread(running.process.wait, 20) == 0


def test_who_comes_while_there_are_too_many_connections_is_told_so_and_let_go(program: Program) -> None:
    running = program("crowded").wait_live()
    host, port = running.url.removeprefix("http://").split(":")
    kept = [socket.create_connection((host, int(port))) for _ in range(MOST_CONNECTIONS)]
    refused = httpx.get(running.url + "/slow")
    assert (refused.status_code, refused.json()["code"], refused.headers["connection"]) == (503, "busy", "close")
    assert httpx.get(running.url + "/health/live").status_code == 200
    with socket.create_connection((host, int(port))) as silent:
        silent.settimeout(2 * service.SURPLUS_SECONDS)
        assert silent.recv(1) == b""
    kept.pop().close()
    time.sleep(0.1)
    assert httpx.get(running.url + "/slow").text == "done"
    for connection in kept:
        connection.close()


def connected(running: Running) -> socket.socket:
    host, port = running.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)))
    connection.settimeout(10)
    return connection


def dripped(connection: socket.socket, text: bytes, every: float) -> float:
    """Seconds until whoever is sent it byte by byte has hung up."""
    began = time.monotonic()
    for one in text:
        try:
            connection.sendall(bytes([one]))
            connection.settimeout(every)
            if not connection.recv(65536):
                break
        except TimeoutError:
            continue
        except OSError:
            break
    else:
        raise AssertionError("nobody has hung up")
    return time.monotonic() - began


HEAD = b"GET /told HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize("before", [b"", b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"], ids=["first", "second"])
def test_whose_head_comes_byte_by_byte_is_not_waited_for(program: Program, before: bytes) -> None:
    running = program("impatient").wait_live()
    with connected(running) as connection:
        if before:
            connection.sendall(before)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert 0.5 < dripped(connection, HEAD + b"X: " + 100 * b"y", every=0.1) < 2


def test_who_sends_half_a_head_and_then_nothing_is_not_waited_for(program: Program) -> None:
    running = program("impatient").wait_live()
    with connected(running) as connection:
        connection.sendall(HEAD)
        began = time.monotonic()
        assert connection.recv(1) == b""
        assert 0.5 < time.monotonic() - began < 2


def test_a_head_in_pieces_that_comes_in_time_is_answered(program: Program) -> None:
    running = program("impatient").wait_live()
    with connected(running) as connection:
        for _ in range(3):
            connection.sendall(b"GET /slow HTTP/1.1\r\n")
            time.sleep(0.3)
            connection.sendall(b"Host: x\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 "), "it takes longer than the head may"


def test_whose_body_comes_byte_by_byte_is_told_so_and_let_go(program: Program) -> None:
    running = program("impatient").wait_live()
    with connected(running) as connection:
        connection.sendall(b"POST /told HTTP/1.1\r\nHost: x\r\nContent-Length: 200\r\n\r\n")
        began, received = time.monotonic(), b""
        while not received:
            connection.sendall(b"1")
            connection.settimeout(0.1)
            with suppress(TimeoutError):
                received = connection.recv(65536)
        assert received.startswith(b"HTTP/1.1 408 ")
        assert b'"code":"request-too-slow"' in received
        assert 0.9 < time.monotonic() - began < 2.5
        connection.settimeout(10)
        with suppress(ConnectionResetError):
            assert connection.recv(1) == b""
    assert "no answer in time" not in running.asked_to_leave().output()


def test_who_comes_while_there_are_too_many_connections_cannot_stay_by_being_slow(program: Program) -> None:
    running = program("crowded").wait_live()
    kept = [connected(running) for _ in range(MOST_CONNECTIONS)]
    with connected(running) as surplus:
        assert dripped(surplus, HEAD + 100 * b"y", every=0.1) < 2 * service.SURPLUS_SECONDS
    for connection in kept:
        connection.close()


def test_who_takes_nothing_of_an_answer_does_not_keep_its_connection(program: Program) -> None:
    running = program("impatient").wait_live()
    kept = [connected(running) for _ in range(MOST_CONNECTIONS)]
    for connection in kept:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
    time.sleep(0.5)
    assert httpx.get(running.url + "/slow").json()["code"] == "busy"
    end = time.monotonic() + 10
    while httpx.get(running.url + "/slow").status_code == 503:
        assert time.monotonic() < end
        time.sleep(0.2)
    for connection in kept:
        connection.close()


def test_who_takes_an_answer_slowly_gets_all_of_it(program: Program) -> None:
    running = program("impatient").wait_live()
    with connected(running) as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        began, size = time.monotonic(), 0
        while piece := connection.recv(1024 * 1024):
            size += len(piece)
            time.sleep(0.03)
        assert time.monotonic() - began > 1.5
        assert size > 64 * 1024 * 1024


def test_a_program_keeps_more_connections_than_files_are_open_by_default(program: Program) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        running = program("healthy").wait_live()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    kept = [connected(running) for _ in range(400)]
    assert httpx.get(running.url + "/health/live").status_code == 200
    for connection in kept:
        connection.close()


@pytest.mark.parametrize("tells", ["a header", "the first line"])
def test_a_client_has_its_quota_also_behind_a_proxy(program: Program, tells: str) -> None:
    running = program("limited").wait_live()
    host, port = running.url.removeprefix("http://").split(":")

    def ask(client: str) -> str:
        first = f"PROXY TCP4 {client} 127.0.0.1 4711 {port}\r\n" if tells == "the first line" else ""
        header = f"X-Forwarded-For: 192.0.2.1, {client}\r\n" if tells == "a header" else ""
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(f"{first}GET /docs HTTP/1.1\r\nHost: x\r\n{header}Connection: close\r\n\r\n".encode())
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()

    told = [ask("203.0.113.9") for _ in range(3)]
    assert [one.split()[1] for one in told] == ["200", "200", "429"]
    assert 'ratelimit: "client";r=1;t=30\r\n' in told[0]
    assert "retry-after: 30\r\n" in told[2]
    assert ask("203.0.113.10").split()[1] == "200"


def test_a_program_that_is_to_trust_who_knows_whom_does_not_start(program: Program) -> None:
    running = program("misled")
    output = running.output()
    assert running.process.returncode == 2
    assert "CF_TRUSTED_PROXIES: Expected addresses" in output
    assert SECRET not in output


def test_a_request_that_is_late_is_answered_for_the_application(program: Program) -> None:
    running = program("slow").wait_live()
    answer = httpx.get(running.url + "/slow")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["code"] == "unavailable"
    assert '"event":"no answer in time"' in running.asked_to_leave().output()


@pytest.mark.parametrize("name", ["failing", "ending"])
def test_a_program_whose_background_work_ends_fails(program: Program, name: str) -> None:
    running = program(name)
    output = running.output()
    assert running.process.returncode == 1
    assert "background work" in output
    assert "telemetry is shut down" in output


@pytest.mark.parametrize("name", ["failing", "unstartable"])
def test_no_failure_is_told_by_its_text_or_a_stack_trace(program: Program, name: str) -> None:
    running = program(name)
    output = running.output()
    assert running.process.returncode not in (0, None)
    assert "ValueError" in output
    assert SECRET not in output
    assert "Traceback" not in output


def test_an_answer_that_is_cut_off_is_told_by_type_and_place(program: Program) -> None:
    running = program("healthy").wait_live()
    with pytest.raises(httpx.TransportError):
        httpx.get(running.url + "/cut-off")
    output = running.asked_to_leave().output()
    assert '"error":"ValueError"' in output
    assert SECRET not in output
    assert "Traceback" not in output


async def test_a_check_that_does_not_answer_in_time_is_not_ok(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "CHECK_TIMEOUT", 0.05)

    async def silent() -> None:
        await asyncio.Event().wait()

    async def broken() -> None:
        raise ValueError(SECRET)

    async def sound() -> None:
        return

    health = service.Health({"silent": silent, "broken": broken, "sound": sound})
    assert await health.status() == {"silent": "TimeoutError: ", "broken": "ValueError", "sound": "ok"}


async def test_work_that_swallows_its_cancellation_is_cancelled_again() -> None:
    times = 0

    async def stubborn() -> None:
        nonlocal times
        while times < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                times += 1

    async with service.background("stubborn", stubborn):
        await asyncio.sleep(0)
    assert times == 2


class Transport:
    """Notes what is done to it."""

    def __init__(self) -> None:
        self.done: list[bytes | str] = []
        self.closing = False

    def write(self, data: bytes) -> None:
        self.done.append(data)

    def close(self) -> None:
        self.done.append("close")
        self.closing = True

    def abort(self) -> None:
        self.closing = True

    def is_closing(self) -> bool:
        return self.closing

    def __getattr__(self, name: str) -> Any:
        return None


def gathering() -> tuple[service.Gathering, Transport]:
    transport: Any = Transport()
    return service.Gathering(transport), transport


async def test_an_answer_is_sent_in_one_piece() -> None:
    answers, sent = gathering()
    answers.write(b"head, ")
    answers.write(b"body")
    assert sent.done == [b"head, body"]
    await asyncio.sleep(0)
    assert sent.done == [b"head, body"]


async def test_a_head_without_a_body_yet_is_sent_all_the_same() -> None:
    """A stream that has nothing to say for the moment has begun."""
    answers, sent = gathering()
    answers.write(b"head")
    await asyncio.sleep(0)
    assert sent.done == [b"head"]
    answers.write(b"one, ")
    answers.write(b"two")
    answers.write(b"")
    await asyncio.sleep(0)
    assert sent.done == [b"head", b"one, two"]


async def test_what_was_written_is_sent_before_the_connection_is_closed() -> None:
    answers, sent = gathering()
    answers.write(b"head")
    answers.close()
    await asyncio.sleep(0)
    assert sent.done == [b"head", "close"]


async def test_nothing_is_sent_on_a_connection_that_was_cut_off() -> None:
    answers, sent = gathering()
    answers.write(b"head")
    sent.abort()
    await asyncio.sleep(0)
    assert not sent.done
