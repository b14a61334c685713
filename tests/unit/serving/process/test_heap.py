"""The heap's free pages go back to the kernel, wherever they are."""

import subprocess
import sys

TRIM = """
import os
import numpy as np
from serving.process.heap import set_up_heap, trim_heap
from serving.process.recycling import held_bytes

set_up_heap()
blocks = [np.ones(100_000, np.uint8) for _ in range(1000)]
full = held_bytes(os.getpid())
del blocks[:-1]  # the last one keeps the heap's top where it is
trim_heap()
print(full - held_bytes(os.getpid()), blocks[0].sum())
"""
REGULARLY = """
import asyncio
import os
import numpy as np
from serving.process import heap
from serving.process.recycling import held_bytes

async def main():
    heap.TRIM_SECONDS = 0.01
    async with heap.heap_trimmed_regularly(), asyncio.timeout(30):
        blocks = [np.ones(100_000, np.uint8) for _ in range(1000)]
        full = held_bytes(os.getpid())
        del blocks[:-1]
        while held_bytes(os.getpid()) > full - 90_000_000:
            await asyncio.sleep(0.001)
    print(len(asyncio.all_tasks()))

heap.set_up_heap()
asyncio.run(main())
"""


def test_trimming_frees_the_pages_below_a_block_that_is_in_use() -> None:
    printed = subprocess.run([sys.executable, "-c", TRIM], capture_output=True, text=True, check=True).stdout
    freed, held = printed.split()
    assert int(freed) > 90_000_000
    assert held == "100000"


def test_the_heap_is_trimmed_again_and_again_until_the_block_ends() -> None:
    printed = subprocess.run([sys.executable, "-c", REGULARLY], capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["1"]
