"""What `make rolling` proves, in small: whoever tries another copy when a port is closed notices no restart."""

import pytest
from blackbox.sink import Sink
from blackbox.system import REPLICAS, System, started
from customerflow_local.stack import Stack
from rich.progress import Progress
from rolling import RESTARTED, roll


@pytest.mark.timeout(240)
async def test_clients_notice_no_restart_and_nothing_is_lost(own_stack: Stack, system: System, sink: Sink) -> None:
    two_queries = started(own_stack, sink.settings, {**REPLICAS, "query": 2})
    rolling, heard, _ = await roll(
        two_queries, own_stack, seconds=24, every=8, rate=40, seed=7, progress=Progress(disable=True)
    )
    assert rolling.ledger.violations == []
    assert rolling.kills == dict.fromkeys(RESTARTED, 3)
    assert rolling.ledger.acknowledged.total() > 500
    assert len(heard.messages) > 500
