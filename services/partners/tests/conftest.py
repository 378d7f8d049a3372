"""Real servers, with a database and a virtual host of the module's own."""

import pytest
from customerflow_local.testing import Database
from customerflow_partners.schema import SCHEMA


@pytest.fixture(scope="module")
async def migrated(cf_database: Database) -> Database:
    await SCHEMA.migrate(cf_database.owner_url, cf_database.url)
    return cf_database
