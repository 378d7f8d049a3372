"""The demonstration shows what it says it shows."""

from io import StringIO

from blackbox.system import System
from customerflow_local.demo import Interfaces, drive
from rich.console import Console


async def test_the_demonstration_runs_and_every_answer_is_as_it_should_be(system: System) -> None:
    output = StringIO()
    interfaces = Interfaces(system.command, system.query, system.provider)
    await drive(interfaces, 16, Console(file=output, width=160))
    shown = output.getvalue()
    assert "16 customers" in shown
    assert "the same customer, no second effect" in shown
    for taken in ("#/email", "#/taxIds/0/value", "#/externalIds/0/value"):
        assert f"{taken} duplicate-key" in shown
    for fault in ("#/name blank", "#/email email-syntax", "#/taxIds/0/value tax-id-checksum"):
        assert fault in shown
    assert "200, verified" in shown
    assert "code asked for to received" in shown
    assert "200, Rua 01310100, Sé, São Paulo, SP" in shown
    assert "410 customer-erased" in shown
    assert "CustomerAddressChanged: addresses" in shown
    assert '"emailVerifiedAt"' in shown
