"""What the README tells a partner to write works as it stands there."""

import asyncio
import os
import re
import signal
import sqlite3
import sys
from pathlib import Path

from customerflow_consumer.testing import told
from customerflow_contract.events import CustomerStatusChangedV1
from customerflow_shared import messaging

from .broker import Partner, until
from .events import ANA

README = Path(__file__).parent.parent / "README.md"


async def test_the_quick_start_listens(cf_amqp_url: str, tmp_path: Path) -> None:
    first = re.search(r"^```python\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)
    assert first, "the README begins with a program"
    (tmp_path / "listen.py").write_text(first[1])
    async with messaging.connected(cf_amqp_url, "test") as connection:
        channel = await connection.channel()
        await messaging.declare(channel)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "listen.py", cwd=tmp_path, env={**os.environ, "AMQP_URL": cf_amqp_url}
        )
        try:
            partner = Partner(channel, "listen")
            event = CustomerStatusChangedV1(customer_id=ANA, version=2, previous="active", current="suspended")

            def known() -> bool:
                if not (tmp_path / "listen.db").exists():
                    return False
                database = sqlite3.connect(tmp_path / "listen.db")
                try:
                    return database.execute("SELECT * FROM status").fetchall() == [(str(ANA), "suspended")]
                except sqlite3.OperationalError:  # no table yet
                    return False
                finally:
                    database.close()

            async def heard() -> bool:
                await partner.tell([told(event)])
                await asyncio.sleep(0.1)
                return known()

            await until(heard)
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        await channel.queue_delete("listen")
        await channel.queue_delete("listen.refused")
