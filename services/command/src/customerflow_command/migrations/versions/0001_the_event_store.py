"""The event store: events, outbox, claims, keys, fingerprints, positions, leases.

Plain SQL that MySQL 8.4 and MariaDB 10.11 both take. Nothing here relies on a collation: identity is binary.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

FORM = "ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"

TABLES = {
    # append-only; positions and versions without gaps
    "cf_events": """
        position BIGINT UNSIGNED NOT NULL PRIMARY KEY,
        customer_id BINARY(16) NOT NULL,
        version INT UNSIGNED NOT NULL,
        event_id BINARY(16) NOT NULL,
        type VARCHAR(64) NOT NULL,
        schema_version SMALLINT UNSIGNED NOT NULL,
        data MEDIUMTEXT NOT NULL,
        pii MEDIUMBLOB NULL,
        metadata TEXT NOT NULL,
        recorded_at DATETIME(3) NOT NULL,
        UNIQUE KEY cf_events_stream (customer_id, version)
    """,
    # pointers to events not yet confirmed by the broker
    "cf_outbox": """
        position BIGINT UNSIGNED NOT NULL PRIMARY KEY,
        customer_id BINARY(16) NOT NULL,
        KEY cf_outbox_customer (customer_id)
    """,
    # customers whose events cannot be sent: theirs wait, the others flow on
    "cf_outbox_parked": """
        customer_id BINARY(16) NOT NULL PRIMARY KEY,
        position BIGINT UNSIGNED NOT NULL,
        reason VARCHAR(255) NOT NULL,
        parked_at DATETIME(3) NOT NULL
    """,
    # values that only one customer may hold, as HMACs
    "cf_claims": """
        kind VARCHAR(64) NOT NULL,
        key_hash BINARY(32) NOT NULL,
        customer_id BINARY(16) NOT NULL,
        PRIMARY KEY (kind, key_hash),
        KEY cf_claims_customer (customer_id)
    """,
    # data keys, wrapped by a master key
    "cf_customer_keys": """
        customer_id BINARY(16) NOT NULL PRIMARY KEY,
        master_key_id VARCHAR(32) NOT NULL,
        wrapped VARBINARY(64) NOT NULL
    """,
    # of the secrets that the tables were filled with: no process with others may work on them
    "cf_fingerprints": """
        name VARCHAR(64) NOT NULL PRIMARY KEY,
        mac BINARY(32) NOT NULL
    """,
    # one row: the last position given out
    "cf_position": """
        id TINYINT UNSIGNED NOT NULL PRIMARY KEY,
        head BIGINT UNSIGNED NOT NULL
    """,
    # who may act alone, until when; the token grows with each new holder
    "cf_leases": """
        name VARCHAR(64) NOT NULL PRIMARY KEY,
        holder VARCHAR(128) NOT NULL,
        token BIGINT UNSIGNED NOT NULL,
        expires_at DATETIME(6) NOT NULL
    """,
}


def upgrade() -> None:
    # DDL commits by itself on these servers, so every step can be repeated after a crash
    for table, columns in TABLES.items():
        op.execute(f"CREATE TABLE IF NOT EXISTS {table} ({columns}) {FORM}")
    op.execute("INSERT IGNORE INTO cf_position (id, head) VALUES (1, 0)")
    op.execute("INSERT IGNORE INTO cf_leases (name, holder, token, expires_at) VALUES ('relay', '', 0, '2000-01-01')")


def downgrade() -> None:
    raise NotImplementedError("the first migration is not taken back: it would destroy the history of every customer")
