"""What the programs have measured tells what has happened, and never to whom."""

import asyncio
import re
from collections import defaultdict
from collections.abc import Mapping
from uuid import uuid4

import httpx
import pytest
import yaml
from blackbox.customers import Customers
from blackbox.sink import Sink
from blackbox.system import System
from blackbox.waiting import eventually
from customerflow_local import dashboards
from customerflow_local.instance import PROJECT
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

WITHIN = 20.0
ALERTS = yaml.safe_load((PROJECT / "deploy/observability/alerts.yml").read_text())
AN_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}|@", re.IGNORECASE)
ONLY_AFTER = (
    "customerflow_commit_refusals",
    "customerflow_outside",
    "customerflow_partner_queue",
    "customerflow_webhook_attempt",
)
"""What begins with these is there once a database refuses, an outside service is called, somebody has subscribed, or a
webhook is tried.
"""

Told = Mapping[str, list[Sample]]
"""By program."""


async def scraped(system: System) -> Told:
    async with httpx.AsyncClient(trust_env=False) as client:
        texts = {
            program: (await client.get(f"{program}/metrics")).raise_for_status().text for program in system.programs
        }
    return {
        program: [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        for program, text in texts.items()
    }


def total(told: Told, name: str, **labels: str) -> float:
    found = [
        sample.value
        for samples in told.values()
        for sample in samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return sum(found)


async def test_what_has_happened_is_counted_once(customers: Customers, system: System) -> None:
    before = await scraped(system)
    registered = [await customers.register() for _ in range(5)]
    for one in registered:
        await customers.read(one)
    await customers.query.get(f"/v1/customers/{uuid4()}")
    refused = await customers.send("DELETE", registered[0].path, if_match='"9"')
    assert refused.status_code == 412

    async def settled() -> Told:
        told = await scraped(system)
        # what is measured from time to time may be some seconds old
        assert total(told, "customerflow_outbox_backlog") == 0
        lags = total(told, "customerflow_projection_lag_seconds_count") - total(
            before, "customerflow_projection_lag_seconds_count"
        )
        assert lags >= 5
        return told

    after = await eventually(settled, within=WITHIN, every=0.5)

    def grown(name: str, **labels: str) -> float:
        return total(after, name, **labels) - total(before, name, **labels)

    register = {"customerflow_command_type": "RegisterCustomer"}
    assert grown("customerflow_commands_total", customerflow_outcome="done", **register) == 5
    assert grown("customerflow_commands_total", customerflow_outcome="VersionMismatch") == 1
    assert grown("customerflow_commit_group_size_sum") == 5
    assert grown("customerflow_commit_group_size_count") == grown("customerflow_commit_duration_seconds_count")
    assert grown("customerflow_outbox_wait_seconds_count") == 5
    for exchange in ("customerflow.domain", "customerflow.integration"):
        assert grown("messaging_client_sent_messages_total", messaging_destination_name=exchange) == 5
        confirmed = {"messaging_destination_name": exchange, "customerflow_outcome": "confirmed"}
        assert grown("customerflow_relay_confirms_total", **confirmed) == 5
    assert grown("messaging_client_consumed_messages_total") == 5
    assert 0 < grown("customerflow_projection_lag_seconds_sum") < 5 * WITHIN
    assert grown("customerflow_reads_total", customerflow_outcome="customer-not-found") == 1
    assert grown("customerflow_reads_total", customerflow_outcome="found") == 5
    requests = {"http_route": "/v1/customers", "http_request_method": "POST", "http_response_status_code": "201"}
    assert grown("http_server_request_duration_seconds_count", **requests) == 5
    route = {"http_route": "/v1/customers/{customer_id}", "http_request_method": "GET"}
    found, missing = ({**route, "http_response_status_code": status} for status in ("200", "404"))
    assert grown("http_server_request_duration_seconds_count", **found) >= 5
    assert grown("http_server_request_duration_seconds_count", **missing) == 1


async def test_what_stands_at_a_time_is_told(customers: Customers, system: System) -> None:
    async def measured() -> None:
        told = await scraped(system)
        assert total(told, "customerflow_relay_active") == 1
        shards = {
            sample.labels["customerflow_shard"]
            for samples in told.values()
            for sample in samples
            if sample.name == "customerflow_queue_backlog"
        }
        assert shards == {str(shard) for shard in range(16)}
        assert total(told, "customerflow_queue_backlog") == 0
        assert total(told, "customerflow_projection_parked") == 0
        for pool in ("mysql", "redis"):
            named = {"db_client_connection_pool_name": pool}
            most = total(told, "db_client_connection_max", **named)
            assert 0 <= total(told, "db_client_connection_count", db_client_connection_state="used", **named) <= most
        for samples in told.values():
            names = {sample.name for sample in samples}
            assert {"process_uptime_seconds", "process_memory_usage_bytes", "target_info"} <= names
            assert total({"": samples}, "customerflow_event_loop_lag_seconds_count") > 0

    await customers.read(await customers.register())
    await eventually(measured, within=WITHIN, every=0.5)


async def test_what_dashboards_and_alerts_ask_for_is_there(customers: Customers, system: System) -> None:
    await customers.read(await customers.register())
    asked = {
        metric
        for path, _ in dashboards.files()
        for panel in yaml.safe_load(path.read_text())["panels"]
        for target in panel["targets"]
        for metric in dashboards.metrics_in(target["expr"])
    }
    rules = [rule for group in ALERTS["groups"] for rule in group["rules"]]
    asked |= {metric for rule in rules for metric in dashboards.metrics_in(rule["expr"])}
    assert len(asked) > 30

    async def all_there() -> None:
        there = {sample.name for samples in (await scraped(system)).values() for sample in samples}
        assert sorted(metric for metric in asked - there if not metric.startswith(ONLY_AFTER)) == []

    await eventually(all_there, within=WITHIN, every=0.5)


async def test_no_label_holds_an_id_and_the_series_are_few(customers: Customers, system: System) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        for program in system.programs:
            await asyncio.gather(*(client.get(f"{program}/{uuid4()}/ana@example.com") for _ in range(50)))
    for _ in range(5):
        await customers.read(await customers.register())
    for samples in (await scraped(system)).values():
        by_name = defaultdict(list)
        for sample in samples:
            by_name[sample.name].append(sample.labels)
        by_name.pop("target_info")
        values = {value for many in by_name.values() for labels in many for value in labels.values()}
        assert [value for value in values if AN_ID.search(value)] == []
        assert len(samples) < 3000, sorted((len(many), name) for name, many in by_name.items())[-5:]


async def test_the_same_is_told_by_otlp(customers: Customers, system: System, sink: Sink) -> None:
    if system.stack is None:
        pytest.skip("a given system reports elsewhere")
    await customers.read(await customers.register())

    async def exported() -> None:
        names: dict[str, set[str]] = defaultdict(set)
        for path, body in list(sink.bodies):
            if path == "/v1/metrics":
                for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                    (service,) = (a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
                    names[service] |= {metric.name for scope in resource.scope_metrics for metric in scope.metrics}
        assert {"customerflow.commands", "customerflow.commit.duration"} <= names["customerflow-command"]
        assert {"customerflow.outbox.backlog", "customerflow.outbox.wait"} <= names["customerflow-relay"]
        assert {"customerflow.projection.lag", "customerflow.queue.backlog"} <= names["customerflow-projector"]
        assert {"customerflow.reads", "http.server.request.duration"} <= names["customerflow-query"]

    await eventually(exported, within=WITHIN, every=0.5)
