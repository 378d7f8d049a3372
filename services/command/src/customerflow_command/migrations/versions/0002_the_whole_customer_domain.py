"""Answers to idempotency keys; what falls due: erasures, ends of suspensions; snapshots of long histories."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

FORM = "ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"

TABLES = {
    # the answer to each key, kept for some days; key and payload as HMACs
    "cf_idempotency": """
        key_hash BINARY(32) NOT NULL PRIMARY KEY,
        fingerprint BINARY(32) NOT NULL,
        customer_id BINARY(16) NOT NULL,
        outcome VARCHAR(512) NOT NULL,
        created_at DATETIME(3) NOT NULL,
        KEY cf_idempotency_customer (customer_id),
        KEY cf_idempotency_created (created_at)
    """,
    # a customer's state at some version, encrypted; `form` is that of the state
    "cf_snapshots": """
        customer_id BINARY(16) NOT NULL PRIMARY KEY,
        version INT UNSIGNED NOT NULL,
        form CHAR(16) NOT NULL,
        sealed MEDIUMBLOB NOT NULL
    """,
    # the next moment at which the system itself has something to do with a customer
    "cf_due": """
        customer_id BINARY(16) NOT NULL PRIMARY KEY,
        due_at DATETIME(3) NOT NULL,
        KEY cf_due_due_at (due_at)
    """,
}


def upgrade() -> None:
    # DDL commits by itself on these servers, so every step can be repeated after a crash
    for table, columns in TABLES.items():
        op.execute(f"CREATE TABLE IF NOT EXISTS {table} ({columns}) {FORM}")


def downgrade() -> None:
    raise NotImplementedError("migrations only add")
