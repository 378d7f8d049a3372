"""One trace shows the whole way of a command, from the request to the read model."""

import re
import secrets

import pytest
from blackbox.customers import Customer, Customers, a_customer
from blackbox.sink import Sink, Span
from blackbox.system import System
from blackbox.waiting import eventually

EXPORTED_WITHIN = 20.0
AN_ID = re.compile(r"[0-9a-f]{8}-|[0-9a-f]{16}|\d{3}|@|\?", re.IGNORECASE)


@pytest.fixture(autouse=True)
def reports_to_us(system: System) -> None:
    if system.stack is None:
        pytest.skip("a given system reports elsewhere")


async def test_one_trace_shows_the_whole_way_of_a_command(customers: Customers, sink: Sink) -> None:
    trace, parent = secrets.token_hex(16), secrets.token_hex(8)
    answer = await customers.send(
        "POST", "/v1/customers", a_customer(), headers={"traceparent": f"00-{trace}-{parent}-01"}
    )
    registered = Customer(answer.json()["id"], 1)
    await customers.read(registered)

    async def complete() -> list[Span]:
        spans = [span for span in sink.spans() if span.trace == trace]
        told = {(span.service, span.name) for span in spans}
        assert ("customerflow-command", "POST /v1/customers") in told
        assert ("customerflow-command", "RegisterCustomer") in told
        assert any(service == "customerflow-command" and "commit" in name for service, name in told), told
        assert any(service == "customerflow-relay" and "publish" in name for service, name in told), told
        assert any(service == "customerflow-projector" and "project" in name for service, name in told), told
        return spans

    spans = await eventually(complete, within=EXPORTED_WITHIN, every=0.5)
    known = {span.span for span in spans} | {parent}
    assert [span.name for span in spans if span.parent not in known] == []


async def test_a_refusal_tells_the_trace_in_which_it_can_be_found(customers: Customers, sink: Sink) -> None:
    refused = await customers.send("POST", "/v1/customers", {})
    trace = refused.json()["traceId"]

    async def exported() -> None:
        assert trace in {span.trace for span in sink.spans()}

    await eventually(exported, within=EXPORTED_WITHIN, every=0.5)


async def test_no_span_name_holds_an_id(customers: Customers, sink: Sink, standing: Customer) -> None:
    for client in (customers.command, customers.query):
        await client.get(f"/nowhere/{standing.id}")
        await client.get(f"{standing.path}/nothing")
    await customers.read(standing)
    last = await customers.send("POST", "/v1/customers", {})

    async def exported() -> set[str]:
        spans = list(sink.spans())
        assert last.json()["traceId"] in {span.trace for span in spans}
        return {span.name for span in spans}

    names = await eventually(exported, within=EXPORTED_WITHIN, every=0.5)
    assert [name for name in names if AN_ID.search(name)] == []
    assert len(names) < 200, "\n".join(sorted(names))
