"""Webhooks, and their deliveries that have failed or wait behind one that has.

Plain SQL that MySQL 8.4 and MariaDB 10.11 both take. Nothing here relies on a collation: identity is binary.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

FORM = "ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"

TABLES = {
    # `stale_keys` are bound still, though not wanted any more; of the worker that serves it: holder, token, lease_until
    "cf_webhooks": """
        id BINARY(16) NOT NULL PRIMARY KEY,
        url VARCHAR(2000) NOT NULL,
        routing_keys TEXT NOT NULL,
        stale_keys TEXT NOT NULL,
        description VARCHAR(200) NOT NULL,
        state VARCHAR(16) NOT NULL,
        revision INT UNSIGNED NOT NULL,
        secret_number INT UNSIGNED NOT NULL,
        old_secret_until DATETIME(3) NULL,
        key_check BINARY(16) NOT NULL,
        created_at DATETIME(3) NOT NULL,
        disabled_reason VARCHAR(16) NULL,
        disabled_at DATETIME(3) NULL,
        failing_since DATETIME(3) NULL,
        failures INT UNSIGNED NOT NULL,
        paused_until DATETIME(3) NULL,
        last_success_at DATETIME(3) NULL,
        last_failure_at DATETIME(3) NULL,
        last_status SMALLINT UNSIGNED NULL,
        last_error VARCHAR(32) NULL,
        holder VARCHAR(128) NOT NULL,
        token BIGINT UNSIGNED NOT NULL,
        lease_until DATETIME(6) NOT NULL
    """,
    # in the order of their ids within a customer; only the first of a customer has a time for its next attempt
    "cf_webhook_deliveries": """
        id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
        webhook_id BINARY(16) NOT NULL,
        customer_id BINARY(16) NOT NULL,
        event_id BINARY(16) NOT NULL,
        type VARCHAR(100) NOT NULL,
        body MEDIUMBLOB NOT NULL,
        state VARCHAR(8) NOT NULL,
        attempts SMALLINT UNSIGNED NOT NULL,
        held_at DATETIME(3) NOT NULL,
        next_attempt_at DATETIME(3) NULL,
        last_attempt_at DATETIME(3) NULL,
        last_status SMALLINT UNSIGNED NULL,
        last_error VARCHAR(32) NULL,
        UNIQUE KEY cf_webhook_deliveries_event (webhook_id, event_id),
        KEY cf_webhook_deliveries_order (webhook_id, state, customer_id, id)
    """,
}


def upgrade() -> None:
    # DDL commits by itself on these servers, so every step can be repeated after a crash
    for table, columns in TABLES.items():
        op.execute(f"CREATE TABLE IF NOT EXISTS {table} ({columns}) {FORM}")


def downgrade() -> None:
    raise NotImplementedError("the first migration is not taken back: it would destroy what waits to be delivered")
