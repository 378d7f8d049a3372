"""One command's trace has all that was done for it, from the request to Redis: also when others share the work, also
when the relay has been away; and nothing in it is anybody's.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import httpx
import pytest
from blackbox.customers import Customers, a_customer
from blackbox.sink import Sink, Span
from blackbox.system import System
from blackbox.waiting import eventually
from customerflow_local.stack import Stack

EXPORTED_WITHIN = 20.0

COMMAND, RELAY, PROJECTOR = "customerflow-command", "customerflow-relay", "customerflow-projector"
WAY: Mapping[str, tuple[str, str, str]] = {
    # what is done: who does it, its kind, and what it is done for
    "POST /v1/customers": (COMMAND, "SERVER", "client"),
    "RegisterCustomer": (COMMAND, "INTERNAL", "POST /v1/customers"),
    "SELECT cf_idempotency": (COMMAND, "CLIENT", "RegisterCustomer"),
    "commit": (COMMAND, "INTERNAL", "RegisterCustomer"),
    "commit group": (COMMAND, "INTERNAL", "commit"),
    "BATCH": (COMMAND, "CLIENT", "commit group"),
    "outbox": (RELAY, "INTERNAL", "RegisterCustomer"),
    "publish customerflow.domain": (RELAY, "PRODUCER", "RegisterCustomer"),
    "process customerflow.projector": (PROJECTOR, "CONSUMER", "publish customerflow.domain"),
    "project batch": (PROJECTOR, "INTERNAL", "process customerflow.projector"),
    "MGET views": (PROJECTOR, "CLIENT", "project batch"),
    "EVALSHA views": (PROJECTOR, "CLIENT", "project batch"),
}
IN_THIS_ORDER = (
    "POST /v1/customers",
    "RegisterCustomer",
    "commit",
    "commit group",
    "BATCH",
    "publish customerflow.domain",
    "process customerflow.projector",
    "project batch",
    "EVALSHA views",
)


@pytest.fixture(autouse=True)
async def reports_to_us(system: System, customers: Customers) -> None:
    if system.stack is None:
        pytest.skip("a given system reports elsewhere")
    # a Redis that is asked for the first time is given the scripts
    await customers.read(await customers.register())


class Traced:
    """A command whose client records its trace."""

    def __init__(self) -> None:
        self.trace = secrets.token_hex(16)
        self.client = secrets.token_hex(8)
        self.body = a_customer()

    async def send(self, customers: Customers) -> None:
        headers = {
            "traceparent": f"00-{self.trace}-{self.client}-01",
            "Idempotency-Key": secrets.token_hex(16),
        }
        answer = await customers.send("POST", "/v1/customers", self.body, headers=headers)
        assert answer.status_code == 201

    def whole(self, spans: list[Span]) -> list[Span]:
        """Its spans, once all are there, each where it belongs."""
        names = {self.client: "client", **{span.span: span.name for span in spans}}
        told = {span.name: (span.service, span.kind, names.get(span.parent, "a span of nobody's")) for span in spans}
        if "project from the feed" in told:  # which was faster than the broker
            assert told.pop("project from the feed") == (PROJECTOR, "INTERNAL", "RegisterCustomer")
            assert told["EVALSHA views"] in (WAY["EVALSHA views"], (PROJECTOR, "CLIENT", "project from the feed"))
            told["EVALSHA views"] = WAY["EVALSHA views"]
            told.pop("EVALSHA marks", None)
        if "EVALSHA marks" in told:  # in a second generation, while there is one
            assert told.pop("EVALSHA marks") == (PROJECTOR, "CLIENT", "project batch")
        assert told == WAY
        return spans


@asynccontextmanager
async def without_relays(stack: Stack) -> AsyncIterator[None]:
    relays = [name for name in stack.services() if name.startswith("relay")]
    for relay in relays:
        await asyncio.to_thread(stack.stop_service, relay)
    try:
        yield
    finally:
        for relay in relays:
            stack.start_service(relay)
        for relay in relays:
            await asyncio.to_thread(stack.wait_ready, relay)


async def whole(commands: Sequence[Traced], sink: Sink) -> list[list[Span]]:
    async def exported() -> list[list[Span]]:
        found: dict[str, list[Span]] = {command.trace: [] for command in commands}
        for span in sink.spans():  # of all that was done since the stack was started
            if span.trace in found:
                found[span.trace].append(span)
        return [command.whole(found[command.trace]) for command in commands]

    return await eventually(exported, within=EXPORTED_WITHIN, every=0.5)


async def test_a_command_s_trace_has_every_step_and_its_parent(customers: Customers, sink: Sink) -> None:
    command = Traced()
    await command.send(customers)
    (spans,) = await whole([command], sink)
    first = {span.name: min(one.begun for one in spans if one.name == span.name) for span in spans}
    assert sorted(IN_THIS_ORDER, key=first.__getitem__) == list(IN_THIS_ORDER)
    assert all(span.begun <= span.ended and span.error is None for span in spans)
    often = {"MGET views", "EVALSHA views", "EVALSHA marks"}  # for each generation, or again from the feed
    assert Counter(span.name for span in spans if span.name not in often) == Counter(WAY.keys() - often)


async def test_the_trace_goes_on_when_the_relay_comes_back(customers: Customers, sink: Sink, own_stack: Stack) -> None:
    away = 2.0
    command = Traced()
    async with without_relays(own_stack):
        await command.send(customers)
        await asyncio.sleep(away)
    (spans,) = await whole([command], sink)
    by_name = {span.name: span for span in spans}
    waited = by_name["outbox"]
    assert waited.ended - waited.begun >= away * 1e9
    assert waited.begun <= by_name["commit"].ended
    assert waited.ended <= by_name["publish customerflow.domain"].begun


async def test_commands_that_share_the_work_have_whole_traces_that_are_linked(
    customers: Customers, sink: Sink, own_stack: Stack
) -> None:
    commands = [Traced() for _ in range(40)]
    async with without_relays(own_stack):  # so that what they then publish comes together
        await asyncio.gather(*(command.send(customers) for command in commands))
    traces = await whole(commands, sink)
    spans = {span.span: span for trace in traces for span in trace}
    for name in ("commit group", "project batch"):
        shared = 0
        for lead in (span for span in spans.values() if span.name == name and len(span.linked) != 1):
            others = [span for span in spans.values() if span.name == name and span.linked == (lead.span,)]
            shared += len(others)
            # it is linked to what they are done for, and they to it
            assert sorted(lead.linked) == sorted(other.parent for other in others)
            assert {(other.begun, other.ended) for other in others} <= {(lead.begun, lead.ended)}
            (size,) = {int(value) for key, value in lead.attributes.items() if key.endswith("size")}
            assert size >= 1 + len(others)
        assert shared > 0, f"each {name} was of one command"


async def test_no_attribute_holds_a_personal_value(customers: Customers, system: System, sink: Sink) -> None:
    command = Traced()
    token = f"canary{secrets.token_hex(6)}"
    command.body |= {"name": f"Ana {token}", "email": f"{token}@example.com", "attributes": {token: token}}
    await command.send(customers)
    refused = Traced()
    refused.body |= {"name": f"Bia {token}", "email": f"{token}@example.com"}
    with pytest.raises(AssertionError):
        await refused.send(customers)
    async with httpx.AsyncClient(trust_env=False) as client:
        await client.get(f"{system.query}/v1/customers/{token}", params={"email": f"{token}@example.com"})
        await client.post(f"{system.query}/v1/customers/lookup", json={"email": f"{token}@example.com"})
        await whole([command], sink)

        async def measured() -> None:
            assert any(path == "/v1/metrics" for path, _ in sink.bodies)

        await eventually(measured, within=EXPORTED_WITHIN, every=0.5)
        for told in (token, token.upper(), "example.com"):
            assert [path for path, body in sink.bodies if told.encode() in body] == []
        for program in system.programs:
            assert token not in (await client.get(f"{program}/metrics")).text
