"""Replays: what was asked for, how far each is, and who runs it until when."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


# only add: until every program has been replaced, the release before works on this schema too
def upgrade() -> None:
    # `unfinished` is the subscription's name as long as the replay may go on: there is one such at a time;
    # the token grows with each new holder
    op.execute(
        """
        CREATE TABLE IF NOT EXISTS cf_replays (
            id BINARY(16) NOT NULL PRIMARY KEY,
            subscription VARCHAR(64) NOT NULL,
            queue VARCHAR(255) NOT NULL,
            asked TEXT NOT NULL,
            unfinished VARCHAR(64) NULL UNIQUE,
            state VARCHAR(16) NOT NULL,
            reason VARCHAR(255) NULL,
            waiting VARCHAR(255) NULL,
            begin_position BIGINT UNSIGNED NULL,
            position BIGINT UNSIGNED NULL,
            end_position BIGINT UNSIGNED NULL,
            published BIGINT UNSIGNED NOT NULL,
            unreadable BIGINT UNSIGNED NOT NULL,
            per_second DOUBLE NOT NULL,
            created_at DATETIME(3) NOT NULL,
            updated_at DATETIME(3) NOT NULL,
            finished_at DATETIME(3) NULL,
            holder VARCHAR(128) NOT NULL,
            token BIGINT UNSIGNED NOT NULL,
            expires_at DATETIME(6) NOT NULL,
            KEY cf_replays_subscription (subscription, created_at),
            KEY cf_replays_state (state, expires_at)
        ) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE cf_replays")
