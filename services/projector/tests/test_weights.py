"""The replicas share the queues without a coordinator."""

from collections import Counter

import pytest
from customerflow_projector.consumer import weight
from customerflow_shared import messaging

QUEUES = [messaging.shard_queue(shard) for shard in range(messaging.SHARDS)]


def share(replicas: list[str]) -> Counter[str]:
    return Counter(max(replicas, key=lambda replica: weight(replica, queue)) for queue in QUEUES)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_each_replica_has_about_its_share_of_the_queues(count: int) -> None:
    fair = messaging.SHARDS / count
    for host in range(200):
        shares = share([f"projector-{host}-{number}" for number in range(count)])
        assert max(shares.values()) <= fair * 2.6, f"{shares} on host {host}"
    busiest = [max(share([f"projector-{host}-{number}" for number in range(count)]).values()) for host in range(200)]
    assert sum(busiest) / len(busiest) <= fair * 1.7


def test_a_replica_that_leaves_moves_only_its_own_queues() -> None:
    replicas = ["one", "two", "three"]
    for queue in QUEUES:
        holder = max(replicas, key=lambda replica: weight(replica, queue))
        for leaving in replicas:
            if leaving != holder:
                rest = [replica for replica in replicas if replica != leaving]
                assert max(rest, key=lambda replica: weight(replica, queue)) == holder


def test_a_weight_fits_an_amqp_priority() -> None:
    assert all(0 <= weight(f"host-{number}", queue) < 2**31 for number in range(50) for queue in QUEUES)
