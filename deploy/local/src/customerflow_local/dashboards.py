"""Grafana's dashboards, as they are provisioned: `python -m customerflow_local.dashboards` writes them anew.

They work on what Prometheus has scraped and on what it was sent by OTLP: names and labels are the same.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[4] / "deploy/observability/dashboards"

_WIDTH, _HEIGHT, _COLUMNS = 8, 8, 3
_METRIC = re.compile(r"\b(?:customerflow|http|db|messaging|process)_\w+")
_BY_JOB = "sum by (job) "


@dataclass(frozen=True)
class Panel:
    """`lines`: what is drawn, by the legend's words; `unit` is Grafana's."""

    title: str
    unit: str
    lines: Mapping[str, str]
    says: str = ""


def quantile(q: float, metric: str, by: str = "", where: str = "") -> str:
    """Of a histogram, over the last five minutes at the least."""
    group = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, sum by ({group}) (rate({metric}_bucket{{{where}}}[$__rate_interval])))"


def quantiles(metric: str, where: str = "") -> dict[str, str]:
    return {name: quantile(q, metric, where=where) for name, q in (("50 %", 0.5), ("95 %", 0.95), ("99 %", 0.99))}


def rate(metric: str, by: str, where: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{{{where}}}[$__rate_interval]))"


def _of_each(gauge: str) -> str:
    """By subscription: several processes tell the same."""
    return f"max by (customerflow_subscription) ({gauge})"


_REQUESTS = "http_server_request_duration_seconds"
_ERRORS = 'http_response_status_code=~"5.."'

OVERVIEW = (
    Panel(
        "Latency: requests, 99 %",
        "s",
        {"{{job}}": quantile(0.99, _REQUESTS, "job")},
        "Of every program, all routes. Streams count until they begin.",
    ),
    Panel("Traffic: requests", "reqps", {"{{job}}": rate(f"{_REQUESTS}_count", "job")}),
    Panel(
        "Errors: answers of 5xx",
        "percentunit",
        {
            "{{job}}": f"{rate(f'{_REQUESTS}_count', 'job', _ERRORS)} / {rate(f'{_REQUESTS}_count', 'job')}",
        },
    ),
    Panel(
        "Saturation: processor",
        "percentunit",
        {"{{job}} {{instance}}": rate("process_cpu_time_seconds_total", "job, instance")},
        "Of one core. A program does what it does on one.",
    ),
    Panel(
        "Saturation: event loop, 99 % late by",
        "s",
        {"{{job}}": quantile(0.99, "customerflow_event_loop_lag_seconds", "job")},
    ),
    Panel(
        "Saturation: memory", "bytes", {"{{job}} {{instance}}": "sum by (job, instance) (process_memory_usage_bytes)"}
    ),
    Panel(
        "Refused before they were looked at",
        "reqps",
        {"{{job}} {{reason}}": rate("customerflow_requests_refused_total", "job, reason")},
        "For there is too much under way, for a client has had its quota, or given up at the deadline.",
    ),
    Panel("Requests under way", "short", {"{{job}}": f"{_BY_JOB}(http_server_active_requests)"}),
    Panel(
        "Saturation: pools in use",
        "percentunit",
        {
            "{{job}} {{db_client_connection_pool_name}}": (
                "sum by (job, db_client_connection_pool_name) "
                '(db_client_connection_count{db_client_connection_state="used"})'
                " / sum by (job, db_client_connection_pool_name) (db_client_connection_max)"
            )
        },
    ),
    Panel(
        "Databases, 99 %",
        "s",
        {
            "{{job}} {{db_operation_name}}": quantile(
                0.99, "db_client_operation_duration_seconds", "job, db_system_name, db_operation_name"
            )
        },
    ),
    Panel("From commit to visible", "s", quantiles("customerflow_projection_lag_seconds")),
    Panel(
        "Held back",
        "short",
        {
            "customers that cannot be projected": "max(customerflow_projection_parked)",
            "customers that cannot be published": "max(customerflow_outbox_parked)",
            "events in the outbox": "max(customerflow_outbox_backlog)",
        },
    ),
    Panel("Up for", "s", {"{{job}} {{instance}}": "min by (job, instance) (process_uptime_seconds)"}),
)

FLOW = (
    Panel(
        "Commands, by what became of them",
        "cps",
        {"{{customerflow_outcome}}": rate("customerflow_commands_total", "customerflow_outcome")},
    ),
    Panel(
        "Commands, by type",
        "cps",
        {"{{customerflow_command_type}}": rate("customerflow_commands_total", "customerflow_command_type")},
    ),
    Panel(
        "Lost races",
        "cps",
        {
            "{{customerflow_conflict}} taken": rate("customerflow_command_conflicts_total", "customerflow_conflict"),
            "decided again": "sum(rate(customerflow_command_retries_total[$__rate_interval]))",
        },
    ),
    Panel("Transaction", "s", quantiles("customerflow_commit_duration_seconds")),
    Panel(
        "Commands in a transaction",
        "short",
        {
            **quantiles("customerflow_commit_group_size"),
            "waiting": "sum(customerflow_commit_waiting)",
        },
    ),
    Panel(
        "Refused by the database",
        "cps",
        {"error {{db_response_status_code}}": rate("customerflow_commit_refusals_total", "db_response_status_code")},
    ),
    Panel(
        "Outbox",
        "short",
        {"events": "max(customerflow_outbox_backlog)", "relays that send": "sum(customerflow_relay_active)"},
    ),
    Panel("Oldest in the outbox", "s", {"age": "max(customerflow_outbox_oldest_age_seconds)"}),
    Panel("From commit to confirmed", "s", quantiles("customerflow_outbox_wait_seconds")),
    Panel(
        "Published",
        "cps",
        {"{{messaging_destination_name}}": rate("messaging_client_sent_messages_total", "messaging_destination_name")},
    ),
    Panel(
        "What the broker answers",
        "cps",
        {
            "{{messaging_destination_name}} {{customerflow_outcome}}": rate(
                "customerflow_relay_confirms_total", "messaging_destination_name, customerflow_outcome"
            )
        },
    ),
    Panel(
        "Until it answers, 99 %",
        "s",
        {
            "{{messaging_destination_name}}": quantile(
                0.99, "messaging_client_operation_duration_seconds", "messaging_destination_name"
            )
        },
    ),
)

PROJECTIONS = (
    Panel("From commit to visible", "s", quantiles("customerflow_projection_lag_seconds")),
    Panel(
        "Messages taken",
        "cps",
        {"{{job}} {{instance}}": rate("messaging_client_consumed_messages_total", "job, instance")},
    ),
    Panel(
        "Waiting in the shards' queues",
        "short",
        {"shard {{customerflow_shard}}": "max by (customerflow_shard) (customerflow_queue_backlog)"},
    ),
    Panel("Events applied together", "short", quantiles("customerflow_projection_batch_size")),
    Panel("What a batch takes", "s", quantiles("messaging_process_duration_seconds")),
    Panel(
        "Redis, 99 %",
        "s",
        {
            "{{job}} {{db_operation_name}}": quantile(
                0.99, "db_client_operation_duration_seconds", "job, db_operation_name", 'db_system_name="redis"'
            )
        },
    ),
    Panel(
        "Customers parked",
        "short",
        {
            "now": "max(customerflow_projection_parked)",
            "in five minutes": "sum(increase(customerflow_projection_parkings_total[5m]))",
        },
    ),
    Panel(
        "Not as it should be",
        "cps",
        {
            "gaps filled from the feed": "sum(rate(customerflow_projection_gaps_total[$__rate_interval]))",
            "messages set aside": "sum(rate(customerflow_projection_set_aside_total[$__rate_interval]))",
        },
    ),
    Panel(
        "Reads of one customer",
        "reqps",
        {"{{customerflow_outcome}}": rate("customerflow_reads_total", "customerflow_outcome")},
    ),
    Panel(
        "Read latency", "s", quantiles(_REQUESTS, 'job="customerflow-query", http_route="/v1/customers/{customer_id}"')
    ),
    Panel(
        "Reads that waited to be fresh",
        "reqps",
        {"waited": "sum(rate(customerflow_read_waits_total[$__rate_interval]))"},
    ),
    Panel(
        "Fetched from Redis together",
        "short",
        {**quantiles("customerflow_read_batch_size"), "clients that follow": "sum(customerflow_changes_followers)"},
    ),
)

PARTNERS = (
    Panel(
        "Told to others",
        "cps",
        {
            "{{customerflow_outcome}}": rate(
                "customerflow_relay_confirms_total",
                "customerflow_outcome",
                'messaging_destination_name="customerflow.integration"',
            )
        },
        "Integration events, by what the broker has answered: a queue that refuses holds up others.",
    ),
    Panel(
        "Waiting for partners",
        "short",
        {"{{customerflow_subscription}}": _of_each("customerflow_partner_queue_backlog")},
        "Messages in the queue of each subscription, those included that its partner has in hand.",
    ),
    Panel(
        "Partners' queues: how full",
        "percentunit",
        {"{{customerflow_subscription}}": _of_each("customerflow_partner_queue_fullness")},
        "Of its limit in messages or in bytes, whichever is nearer. When it is full the oldest are dropped.",
    ),
    Panel(
        "Dead letters of partners",
        "short",
        {"{{customerflow_subscription}}": _of_each("customerflow_partner_queue_dead_letters")},
        "Refused by the partner, dropped or too old.",
    ),
    Panel(
        "Partners that read",
        "short",
        {"{{customerflow_subscription}}": _of_each("customerflow_partner_queue_consumers")},
        "Consumers of each queue.",
    ),
    Panel(
        "Webhooks: attempts, by what became of them",
        "cps",
        {"{{customerflow_outcome}}": rate("customerflow_webhook_deliveries_total", "customerflow_outcome")},
    ),
    Panel("Webhooks: an attempt takes", "s", quantiles("customerflow_webhook_attempt_duration_seconds")),
    Panel(
        "Webhooks: failed attempts",
        "cps",
        {
            "{{error_type}}": rate(
                "customerflow_webhook_attempt_duration_seconds_count", "error_type", 'customerflow_outcome!="delivered"'
            ),
            "probes: {{customerflow_outcome}}": rate("customerflow_webhook_probes_total", "customerflow_outcome"),
        },
    ),
    Panel(
        "Webhooks, by state",
        "short",
        {
            "{{customerflow_webhook_state}} {{customerflow_reason}}": (
                "max by (customerflow_webhook_state, customerflow_reason) (customerflow_webhooks)"
            )
        },
    ),
    Panel(
        "Webhooks: what waits",
        "short",
        {
            "in their queues": "max(customerflow_webhook_backlog)",
            "to be tried again": "max(customerflow_webhook_pending)",
            "dead": "max(customerflow_webhook_dead)",
        },
    ),
    Panel(
        "Webhooks: since when",
        "s",
        {
            "the oldest that waits": "max(customerflow_webhook_pending_oldest_age_seconds)",
            "one fails altogether": "max(customerflow_webhook_failing_age_seconds)",
        },
    ),
    Panel(
        "Replays",
        "short",
        {
            "running": "sum(customerflow_replays_running)",
            "{{customerflow_outcome}} in five minutes": (
                "sum by (customerflow_outcome) (increase(customerflow_replays_ended_total[5m]))"
            ),
        },
    ),
    Panel("Events replayed", "cps", {"events": "sum(rate(customerflow_replay_events_total[$__rate_interval]))"}),
    Panel(
        "Partners' service: requests",
        "reqps",
        {
            "{{http_route}} {{http_response_status_code}}": rate(
                f"{_REQUESTS}_count", "http_route, http_response_status_code", 'job="customerflow-partners"'
            )
        },
    ),
    Panel("Partners' service: latency", "s", quantiles(_REQUESTS, 'job="customerflow-partners"')),
    Panel(
        "Calls to outside services",
        "cps",
        {"{{service}} {{outcome}}": rate("customerflow_outside_call_duration_seconds_count", "service, outcome")},
    ),
    Panel(
        "Calls to outside services, 99 %",
        "s",
        {"{{service}}": quantile(0.99, "customerflow_outside_call_duration_seconds", "service")},
    ),
    Panel(
        "Circuits",
        "short",
        {"{{service}}": "max by (service) (customerflow_outside_circuit)"},
        "0 closed, 1 half-open, 2 open.",
    ),
)


def metrics_in(expression: str) -> set[str]:
    """The names of the series that a query asks for, if they are of our programs."""
    bare = re.sub(r'"[^"]*"', "", expression)
    return set(_METRIC.findall(re.sub(r"\{[^}]*\}|\bby \([^)]*\)", "", bare)))


def panel(panel: Panel, number: int) -> dict[str, Any]:
    row, column = divmod(number, _COLUMNS)
    source = {"type": "prometheus", "uid": "prometheus"}
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.says,
        "datasource": source,
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": source, "expr": expression, "legendFormat": legend}
            for place, (legend, expression) in enumerate(panel.lines.items())
        ],
    }


def dashboard(uid: str, title: str, panels: Sequence[Panel]) -> dict[str, Any]:
    return {
        "uid": f"customerflow-{uid}",
        "title": title,
        "tags": ["customerflow"],
        "editable": False,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "schemaVersion": 39,
        "links": [{"type": "dashboards", "tags": ["customerflow"], "title": "CustomerFlow", "asDropdown": False}],
        "panels": [panel(one, number) for number, one in enumerate(panels)],
    }


def files() -> Iterable[tuple[Path, str]]:
    for uid, title, panels in (
        ("overview", "CustomerFlow: overview", OVERVIEW),
        ("flow", "CustomerFlow: from commands to messages", FLOW),
        ("projections", "CustomerFlow: projections and reads", PROJECTIONS),
        ("partners", "CustomerFlow: partners and outside services", PARTNERS),
    ):
        yield FOLDER / f"{uid}.json", json.dumps(dashboard(uid, title, panels), indent=2) + "\n"


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, text in files():
        path.write_text(text)


if __name__ == "__main__":
    main()
