"""The command line, a module for each sub-topic."""

from customerflow_partners.cli import subscriptions, webhooks

COMMANDS = [subscriptions.subscriptions, webhooks.webhooks]
