"""The operator's routes, a module for each sub-topic."""

from collections.abc import Mapping

from customerflow_shared.database import DatabaseUnavailable
from customerflow_shared.messaging import BrokerUnavailable
from customerflow_shared.problems import Translation

from customerflow_partners.api import dead_letters, replays, subscriptions, webhooks
from customerflow_partners.api.answers import unavailable

ROUTES = [*subscriptions.ROUTES, *replays.ROUTES, *dead_letters.ROUTES]
WEBHOOK_ROUTES = webhooks.ROUTES

TRANSLATIONS: Mapping[type[Exception], Translation] = {
    **subscriptions.TRANSLATIONS,
    **replays.TRANSLATIONS,
    **dead_letters.TRANSLATIONS,
    **webhooks.TRANSLATIONS,
    BrokerUnavailable: lambda _: unavailable("RabbitMQ does not answer, or refuses."),
    DatabaseUnavailable: lambda _: unavailable("The database of this service does not answer."),
}
