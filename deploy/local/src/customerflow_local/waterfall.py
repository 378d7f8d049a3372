"""One command, and what it has made every program do: its trace as a waterfall in the terminal."""

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import httpx
from rich.console import Console
from rich.table import Table
from rich.text import Text

from customerflow_local.errors import LocalStackError
from customerflow_local.names import invent
from customerflow_local.sink import Sink, Span

PORT = 14319
SETTINGS: Mapping[str, str] = {
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://127.0.0.1:{PORT}/v1/traces",
    # of what nobody has asked to be recorded nothing is sent: most of the time nobody listens there
    "OTEL_TRACES_SAMPLER": "parentbased_always_off",
    "OTEL_BSP_SCHEDULE_DELAY": "300",
}
"""With which programs record a trace for whoever asks for it."""

_WITHIN = 15.0
_QUIET = 1.5  # seconds without a further span, after which it is whole
_WIDTH = 48
_COLOURS = {"customerflow-command": "cyan", "customerflow-relay": "magenta", "customerflow-projector": "green"}


def traced_command(command: str) -> list[Span]:
    """Register an invented customer at the command service with this address; the spans of that. Raises
    LocalStackError.
    """
    trace, client = secrets.token_hex(16), secrets.token_hex(8)
    (customer,) = islice(invent(secrets.token_hex(3)), 1)
    try:
        sink = Sink(PORT)
    except OSError as error:
        raise LocalStackError(f"Nobody else may listen on port {PORT}: {error.strerror}") from error
    with sink:
        answer = httpx.post(
            f"{command}/v1/customers",
            json=customer.body,
            headers={"traceparent": f"00-{trace}-{client}-01"},
            timeout=30,
        )
        if answer.status_code != 201:
            raise LocalStackError(f"The command was answered with {answer.status_code}: {answer.text}")
        return _collected(sink, trace)


def _collected(sink: Sink, trace: str) -> list[Span]:
    begun = changed = time.monotonic()
    spans: list[Span] = []
    while time.monotonic() - begun < _WITHIN:
        time.sleep(0.1)
        found = [span for span in sink.spans() if span.trace == trace]
        if len(found) > len(spans):
            spans, changed = found, time.monotonic()
        elif spans and time.monotonic() - changed > _QUIET and any(one.kind == "CONSUMER" for one in spans):
            return spans
    if not spans:
        raise LocalStackError("No program has told of it: were they started by `make demo`?")
    return spans


def draw(spans: Sequence[Span], console: Console) -> None:
    first, last = min(span.begun for span in spans), max(span.ended for span in spans)
    whole = max(last - first, 1)
    table = Table(title=f"Trace {spans[0].trace}: {whole / 1e6:.1f} ms", title_justify="left", box=None, padding=(0, 1))
    for column in ("what", "by", f"0 to {whole / 1e6:.1f} ms"):
        table.add_column(column)
    table.add_column("ms", justify="right")
    for depth, span in _in_order(spans):
        begins = round((span.begun - first) / whole * _WIDTH)
        length = max(1, round((span.ended - span.begun) / whole * _WIDTH))
        colour = "red" if span.error is not None else _COLOURS.get(span.service, "white")
        table.add_row(
            "  " * depth + span.name,
            Text(span.service.removeprefix("customerflow-"), style=colour),
            Text(" " * begins + "━" * min(length, _WIDTH - begins + 1), style=colour),
            f"{(span.ended - span.begun) / 1e6:.2f}",
        )
    console.print(table)


def _in_order(spans: Sequence[Span]) -> Iterator[tuple[int, Span]]:
    """Each after what it was done for, with its depth."""
    known = {span.span for span in spans}

    def below(parents: set[str], depth: int) -> Iterator[tuple[int, Span]]:
        for span in sorted((one for one in spans if one.parent in parents), key=lambda one: one.begun):
            yield depth, span
            yield from below({span.span}, depth + 1)

    yield from below({span.parent for span in spans} - known, 0)
