"""The tables of this service: see `migrations`."""

from pathlib import Path

from customerflow_shared.database import Schema

GRANTS = {
    "cf_replays": "SELECT, INSERT, UPDATE, DELETE",
    "cf_webhooks": "SELECT, INSERT, UPDATE, DELETE",
    "cf_webhook_deliveries": "SELECT, INSERT, UPDATE, DELETE",
}

SCHEMA = Schema("cf_partners", Path(__file__).parent / "migrations", GRANTS)
