"""What `make observe` proves, in small: an outsider in plain pika misses nothing, whatever is killed or stopped."""

import pytest
from blackbox.system import System
from customerflow_local.stack import Stack
from observer import observe, stop_partners
from rich.progress import Progress


async def test_an_outsider_is_told_everything_once_in_order_while_relay_and_broker_are_killed(
    own_stack: Stack, system: System
) -> None:
    findings = await observe(system, own_stack, commands=600, kills=2, seed=6, progress=Progress(disable=True))
    assert findings.violations == []
    assert findings.clients.kills == {"relay": 1, "broker": 1}
    assert len(findings.observed.firsts) > 400


@pytest.mark.timeout(180)
async def test_partners_that_stand_still_delay_nobody_and_catch_up(own_stack: Stack, system: System) -> None:
    stopped = await stop_partners(system, own_stack, before=5, seconds=10, seed=6)
    assert stopped.findings.violations == []
    assert len(stopped.findings.observed.firsts) > 500, "the queues were full"
