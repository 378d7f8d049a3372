"""Runs the migrations on the connection that `database.migrate` hands in, or writes their SQL (`alembic upgrade head
--sql`).
"""

from alembic import context
from customerflow_command.database import SCHEMA_VERSION

if context.is_offline_mode():
    context.configure(dialect_name="mysql", version_table=SCHEMA_VERSION, literal_binds=True)
else:
    context.configure(
        connection=context.config.attributes["connection"],
        version_table=SCHEMA_VERSION,
        transactional_ddl=False,
    )
with context.begin_transaction():
    context.run_migrations()
