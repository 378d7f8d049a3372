"""What `make overload` proves, in small: asked for three times what it can do, a program does in time what it can, and
sends the rest away at once.

How soon all that is depends on what else the machine does, so it may take five times as long here.
"""

import pytest
from blackbox.system import System
from customerflow_local.stack import Stack
from overload import What, overload


@pytest.mark.parametrize("what", ["commands", "lists"])
async def test_who_cannot_be_served_is_told_so_at_once_and_all_others_are_served_in_time(
    own_stack: Stack, system: System, what: What
) -> None:
    findings = await overload(system, own_stack, what, times=3, seconds=6, tell=print)
    assert list(findings.violations(slack=5)) == []
