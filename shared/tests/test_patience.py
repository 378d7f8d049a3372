import asyncio

import pytest
from customerflow_shared import patience
from customerflow_shared.patience import Patience


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(patience, "LONGEST_PAUSE", 0.0)


@pytest.mark.parametrize(
    "error", [OSError("away"), RuntimeError(), ExceptionGroup("both", [OSError()]), asyncio.CancelledError()]
)
async def test_whatever_an_attempt_raises_it_is_made_again(error: BaseException) -> None:
    attempts = 0
    succeeded = asyncio.Event()

    async def attempt() -> None:
        nonlocal attempts
        attempts += 1
        if attempts < 5:
            raise error
        succeeded.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(Patience("test").persist(attempt))
    await asyncio.wait_for(succeeded.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert attempts == 5


async def test_a_failure_is_logged_once_until_it_works_again(capsys: pytest.CaptureFixture[str]) -> None:
    waiting = Patience("test")
    for _ in range(3):
        await waiting.after(OSError("away"))
    await waiting.after(OSError("elsewhere"))
    waiting.rewarded()
    await waiting.after(OSError("elsewhere"))
    assert capsys.readouterr().out.count("interrupted") == 3


async def test_a_task_is_ended_even_if_it_does_not_give_in_and_its_end_is_cancelled_meanwhile() -> None:
    refusals, waiting = 0, asyncio.Event()

    async def stubborn() -> None:
        nonlocal refusals
        while refusals < 3:
            try:
                waiting.set()
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                refusals += 1

    task = asyncio.create_task(stubborn())
    await waiting.wait()
    ending = asyncio.create_task(patience.end(task, every=0.05))
    await asyncio.sleep(0.02)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert task.done()
