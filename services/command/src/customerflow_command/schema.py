"""The tables of the command service: see `migrations`."""

from pathlib import Path

from customerflow_shared.database import Schema

# events are only ever appended
SCHEMA = Schema(
    "cf",
    Path(__file__).parent / "migrations",
    {
        "cf_events": "SELECT, INSERT",
        "cf_outbox": "SELECT, INSERT, DELETE",
        "cf_outbox_parked": "SELECT, INSERT, DELETE",
        "cf_claims": "SELECT, INSERT, DELETE",
        "cf_customer_keys": "SELECT, INSERT, DELETE",
        "cf_snapshots": "SELECT, INSERT, DELETE",
        "cf_idempotency": "SELECT, INSERT, DELETE",
        "cf_due": "SELECT, INSERT, DELETE",
        "cf_fingerprints": "SELECT, INSERT",
        "cf_position": "SELECT, UPDATE",
        "cf_leases": "SELECT, UPDATE",
    },
)
