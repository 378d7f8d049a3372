"""What a worker counts of its attempts. No webhook is named, and no address: a receiver has no part in a label."""

from typing import Final

from customerflow_shared import conventions, metrics

from customerflow_partners.webhooks.queues import PREFIX
from customerflow_partners.webhooks.sending import Delivered, Failed, Gone, Outcome

QUEUES: Final = PREFIX + "{webhook}"
conventions.CONSUMED.begin(QUEUES)

_seconds = metrics.histogram(
    "customerflow.webhook.attempt.duration",
    "s",
    "From an attempt's beginning to its answer, or to its failure.",
    ["customerflow.outcome", "error.type"],
    bounds=(*metrics.SECONDS, 15.0),
)
_deliveries = metrics.counter(
    "customerflow.webhook.deliveries",
    "{delivery}",
    "Attempts by what became of the delivery: delivered; retried, for it failed; refused, for the webhook fails as a "
    "whole; disabled, for the receiver wants nothing more; dead, for it was the last attempt.",
    ["customerflow.outcome"],
)
_probes = metrics.counter(
    "customerflow.webhook.probes",
    "{probe}",
    "Attempts that were made to learn whether a webhook works again that had failed: works or fails.",
    ["customerflow.outcome"],
)
for _outcome in ("delivered", "retried", "refused", "disabled", "dead"):
    _deliveries.begin(_outcome)
for _outcome in ("works", "fails"):
    _probes.begin(_outcome)


def attempted(outcome: Outcome, seconds: float, *, probing: bool) -> None:
    """What failed of one customer is counted once it is known whether it is tried again, see `put_off`."""
    became, error = "delivered", ""
    match outcome:
        case Delivered():
            _deliveries.add(1, "delivered")
        case Gone():
            became, error = "gone", "gone"
            _deliveries.add(1, "disabled")
        case Failed(error=error, whole=True):
            became = "refused"
            _deliveries.add(1, "refused")
        case Failed(error=error):
            became = "failed"
    _seconds.record(seconds, became, error)
    if probing:
        _probes.add(1, "fails" if error else "works")


def put_off(*, dead: bool) -> None:
    """It has failed; dead: for good."""
    _deliveries.add(1, "dead" if dead else "retried")
