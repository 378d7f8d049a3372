"""The command line, a module for each sub-topic."""

from customerflow_partners.cli import subscriptions

COMMANDS = [subscriptions.subscriptions]
