"""The operator's routes, a module for each sub-topic."""

from collections.abc import Mapping

from customerflow_shared.problems import Translation

from customerflow_partners.api import dead_letters, replays, subscriptions, webhooks

ROUTES = [*subscriptions.ROUTES, *replays.ROUTES, *dead_letters.ROUTES]
WEBHOOK_ROUTES = webhooks.ROUTES

TRANSLATIONS: Mapping[type[Exception], Translation] = {
    **subscriptions.TRANSLATIONS,
    **replays.TRANSLATIONS,
    **dead_letters.TRANSLATIONS,
    **webhooks.TRANSLATIONS,
}
