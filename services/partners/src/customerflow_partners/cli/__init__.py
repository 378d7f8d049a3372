"""The command line, a module for each sub-topic."""

from customerflow_partners.cli import dead_letters, replays, subscriptions, webhooks

COMMANDS = [
    subscriptions.subscriptions,
    replays.replay,
    replays.replays,
    dead_letters.dead_letters,
    webhooks.webhooks,
]
