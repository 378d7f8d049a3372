"""The query API: from a request to what is looked for, and from what was found to an answer.

`customer` is the hot path and a bare ASGI application; every other module holds the routes of one sub-topic.
`freshness` is what all of them share: how new an answer must be, and how new it is.
"""

from customerflow_query.api.customer import CustomerRoute
from customerflow_query.api.freshness import TRANSLATIONS

__all__ = ["TRANSLATIONS", "CustomerRoute"]
