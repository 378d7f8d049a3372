from customerflow_partners.schema import SCHEMA

SCHEMA.run_migrations()
