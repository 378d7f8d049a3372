from customerflow_command.schema import SCHEMA

SCHEMA.run_migrations()
