"""How fast Redis takes the writes of a rebuild when they come from memory, in pipelines as long as the read model's:
`python -m customerflow_bench.ceilings.lua_writes URL FILE GENERATION`.
"""

import json
import sys
import time
from pathlib import Path

import msgspec
import uvloop
from customerflow_projector import read_model
from customerflow_shared import views


async def write(url: str, commands: list[list[bytes]], generation: str) -> float:
    """The seconds that they take in a generation of their own, which is removed afterwards."""
    own = views.new_generation()
    prepared = [[word.replace(generation.encode(), own.encode()) for word in command] for command in commands]
    redis = read_model.connect(url)
    began = time.perf_counter()
    for start in range(0, len(prepared), read_model.STORED_AT_ONCE):
        async with redis.pipeline(transaction=False) as pipeline:
            for command in prepared[start : start + read_model.STORED_AT_ONCE]:
                # the command's name as text: by it the client chooses how to pack it
                pipeline.execute_command(command[0].decode(), *command[1:])
            answers = await pipeline.execute()
        if any(answer != -1 for answer in answers):
            raise ValueError("a write was not made")
    took = time.perf_counter() - began
    keys = [key async for key in redis.scan_iter(f"cf:{own}:*", count=10_000)]
    for start in range(0, len(keys), 1000):
        await redis.unlink(*keys[start : start + 1000])
    await redis.aclose()
    return took


if __name__ == "__main__":
    recorded = msgspec.msgpack.decode(Path(sys.argv[2]).read_bytes(), type=list[list[bytes]])
    seconds = uvloop.run(write(sys.argv[1], recorded, sys.argv[3]))
    print(json.dumps({"writes": len(recorded), "seconds": seconds}))
