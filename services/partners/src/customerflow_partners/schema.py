"""The tables of this service: see `migrations`."""

from pathlib import Path

from customerflow_shared.database import Schema

SCHEMA = Schema("cf_partners", Path(__file__).parent / "migrations", {})
