"""Real servers, with a database and a virtual host of the module's own."""

from collections.abc import AsyncIterator

import pytest
from customerflow_local.testing import Database
from customerflow_partners.schema import SCHEMA

from . import broker as brokers
from .broker import Broker


@pytest.fixture
async def broker(cf_amqp_url: str, cf_management_url: str) -> AsyncIterator[Broker]:
    async with brokers.broker(cf_amqp_url, cf_management_url) as broker:
        yield broker


@pytest.fixture(scope="module")
async def migrated(cf_database: Database) -> Database:
    await SCHEMA.migrate(cf_database.owner_url, cf_database.url)
    return cf_database
