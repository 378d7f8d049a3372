"""What the observer says of a stopped partner would be otherwise if others were slowed down, or anything were lost."""

import json
from dataclasses import replace

from blackbox.account import MEDIA_TYPE, Delivery
from observer import (
    LIMIT,
    MORE_MEMORY,
    after_return,
    compare_lags,
    compare_memory,
    expected,
    refused_by_schema,
    refused_by_sdk,
)

TOLD = [Delivery(0.0, b"{}", f"{number}", "customer.updated.v1", MEDIA_TYPE) for number in range(LIMIT + 300)]
STOPPED, RETURNED = 100.0, 130.0
AT = [float(at) / 10 for at in range(800, 1300)]


def test_a_lag_that_grows_by_more_than_a_second_is_found() -> None:
    steady = [(at, 0.1) for at in AT]
    assert compare_lags("lag", steady, STOPPED, RETURNED)[1] == []
    for slow in (1.2, 5.0):
        grown = [(at, slow if 115 <= at < 116 else lag) for at, lag in steady]
        assert len(compare_lags("lag", grown, STOPPED, RETURNED)[1]) == 1


def test_memory_that_grows_while_a_partner_is_stopped_is_found() -> None:
    flat = [(at, 150.0) for at in AT]
    assert compare_memory(flat, STOPPED, RETURNED)[1] == []
    growing = [(at, 150.0 + (at - STOPPED) * MORE_MEMORY / 20) for at, _ in flat]
    assert len(compare_memory(growing, STOPPED, RETURNED)[1]) == 1


def test_what_a_partner_lacks_after_its_return_is_found() -> None:
    before, kept, log = TOLD[:100], TOLD[-LIMIT:], TOLD[100:]
    assert after_return(before, kept, log, TOLD) == []
    assert len(after_return(before, kept[1:], log, TOLD)) == 1
    assert len(after_return(before, [kept[1], kept[0], *kept[2:]], log, TOLD)) == 1
    assert len(after_return(before, kept, log[1:], TOLD)) == 1


def test_a_message_that_breaks_the_contract_is_found() -> None:
    assert expected([]) == []
    broken = {"specversion": "1.0", "type": "io.customerflow.customer.updated.v1", "data": {"version": "three"}}
    delivery = replace(TOLD[0], body=json.dumps(broken).encode())
    assert len(refused_by_sdk([delivery])) == 1
    assert len(refused_by_schema([delivery])) == 2
    assert len(refused_by_schema([replace(delivery, routing_key="customer.teleported.v1")])) == 2
