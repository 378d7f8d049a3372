"""The composition root of the partners' service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, TypeAlias

import msgspec
from customerflow_shared import requests, service
from customerflow_shared.settings import Listen, LogLevel, Port, Token
from litestar import Litestar, Router

from customerflow_partners import api, management
from customerflow_partners.keeping import Subscriptions
from customerflow_partners.management import Management

ManagementUrl: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^https?://[^@/\s:]+:[^@/\s]+@[^\s/?#]+(/[^\s?#]*)?\Z")]
Vhost: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class ToolSettings(msgspec.Struct, frozen=True, kw_only=True):
    """For the commands that do one thing and leave."""

    rabbitmq_management_url: ManagementUrl
    """With the account of an administrator, which no other program has."""
    rabbitmq_vhost: Vhost = "/"
    log_level: LogLevel = "warning"


class PartnersSettings(Listen, frozen=True, kw_only=True):
    rabbitmq_management_url: ManagementUrl
    rabbitmq_vhost: Vhost = "/"
    operator_token: Token
    port: Port = 8085


def partners(config: PartnersSettings) -> tuple[Litestar, service.Health]:
    http = management.connect(config.rabbitmq_management_url)
    broker = Management(http, config.rabbitmq_vhost)
    health = service.Health({"rabbitmq": broker.check})

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        yield
        await http.aclose()

    guards = [requests.with_token(config.operator_token, "Send the operator's token.")]
    app = service.create(
        "CustomerFlow partners",
        "An operator subscribes other systems here: a queue for each, with an account that may read it.",
        handlers=[Router("/", route_handlers=api.ROUTES, guards=guards)],
        health=health,
        lifespan=[lifespan],
        translations=api.TRANSLATIONS,
        dependencies={"kept": Subscriptions(broker)},
    )
    return app, health
