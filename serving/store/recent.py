"""The images answered last, in memory that all workers share, so that any worker can take feedback on them.

1. Each process writes a part of its own, a ring: the oldest image makes room for the newest. A lock of the kernel on
   the part's byte says whose it is, and ends with its process, however that ends.
2. Nothing here reaches a disk. The memory goes with the service.
3. A reader takes no lock: it copies an image, and looks at its key once more. A key is zero while its image is written.
4. A key is 126 bits of a hash of the caller and the request's id, plus the image's index.
5. The signs of a line that Read has answered know their line and how many they are: it is found whole or not at all.
"""

import fcntl
import mmap
import os
import struct
import time
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from serving.predictions import PIXELS, Pixels, Predictions
from serving.store.memory import IMAGE_BYTES, ONE_KEY, ONE_ROW, RecentPlace
from serving.store.records import Answered

_KEY = np.dtype("<u8")
_ROW = np.dtype(
    [
        *(("time", "<f8"), ("version", "<i8"), ("probability", "<f4"), ("novelty", "<f4")),
        *(("digit", "u1"), ("refusal", "u1"), ("line", "<u2", 2), ("pixels", "u1", PIXELS)),
    ]
)
_LOCK = struct.Struct("hhqqi")  # struct flock: type, whence, start, length, process

Lines = npt.NDArray[np.uint16]  # (n, 2): of each sign its line's index, and how many signs stand on that line


class RecentImages:
    """The recent images of all processes that have the descriptor of one RecentMemory."""

    def __init__(self, place: RecentPlace) -> None:
        self._slots = place.slots
        self._parts = place.parts
        count = place.slots * place.parts
        # Opened anew: its locks belong to what was opened, and every process has inherited the same.
        self._file = os.open(f"/proc/self/fd/{place.descriptor}", os.O_RDWR | os.O_CLOEXEC)
        self._memory = mmap.mmap(self._file, count * IMAGE_BYTES)
        memory, self._rows_at = np.frombuffer(self._memory, np.uint8), count * 2 * _KEY.itemsize
        self._keys = memory[: self._rows_at].view(_KEY).reshape(count, 2)
        self._rows = memory[self._rows_at :].view(_ROW)
        self._part: int | None = None
        self._next = 0  # slot within the part

    def add(
        self, caller: str, request_id: str, pixels: Pixels, predictions: Predictions, lines: Lines | None = None
    ) -> None:
        """Takes the images of a request, (n, 784), with their predictions; of more than the ring holds, the last.

        `lines`: of images that are the signs of lines.
        """
        if self._part is None and not self._claim():
            return
        if len(pixels) == 1 and lines is None:
            self._add_one(caller, request_id, pixels, predictions)
            return
        count, offset = len(pixels), 0
        if count > self._slots:
            offset, count = count - self._slots, self._slots
        high, low = _key(caller, request_id)
        now, digits, start = time.time(), predictions.digits, self._part * self._slots  # type: ignore[operator]  # claimed
        while offset < len(pixels):
            taken = min(count, self._slots - self._next)
            source, target = slice(offset, offset + taken), slice(start + self._next, start + self._next + taken)
            keys, rows = self._keys[target], self._rows[target]
            keys[:, 1] = 0  # readers look at the low half last
            rows["time"], rows["version"] = now, predictions.version
            rows["digit"], rows["refusal"] = digits[source], predictions.refusals[source]
            rows["probability"] = predictions.probabilities[np.arange(source.start, source.stop), digits[source]]
            rows["novelty"], rows["pixels"] = predictions.novelties[source], pixels[source]
            rows["line"] = 0 if lines is None else lines[source]
            keys[:, 0] = high
            keys[:, 1] = np.arange(low + offset, low + offset + taken)
            self._next = (self._next + taken) % self._slots
            offset, count = offset + taken, count - taken

    def _add_one(self, caller: str, request_id: str, pixels: Pixels, predictions: Predictions) -> None:
        """Takes one image, in a fifth of the time that NumPy needs for the columns of one row."""
        slot = self._part * self._slots + self._next  # type: ignore[operator]  # claimed
        self._next = (self._next + 1) % self._slots
        batch, row = predictions.batch, predictions.start
        digit, key = batch.digits.item(row), slot * ONE_KEY.size
        ONE_KEY.pack_into(self._memory, key, 0, 0)
        ONE_ROW.pack_into(
            self._memory, self._rows_at + slot * ONE_ROW.size, time.time(), batch.version,
            batch.probabilities.item(row, digit), batch.novelties.item(row), digit, batch.refusals.item(row),
            0, 0, pixels.tobytes(),
        )  # fmt: skip
        ONE_KEY.pack_into(self._memory, key, *_key(caller, request_id))

    def find(self, caller: str, request_id: str, index: int) -> Answered | None:
        """Returns an image of a request, of the last one with this id; None: it is not held, or no longer."""
        high, low = _key(caller, request_id)
        low += index
        newest: Answered | None = None
        for slot in np.flatnonzero((self._keys[:, 1] == low) & (self._keys[:, 0] == high)).tolist():
            row = self._rows[slot].copy()
            is_whole = int(self._keys[slot, 1]) == low and int(self._keys[slot, 0]) == high
            if is_whole and (newest is None or row["time"] >= newest.time):
                newest = _answered(row)
        return newest

    def find_line(self, caller: str, request_id: str, line: int) -> dict[int, Answered]:
        """Returns the signs of a line by their index in the request, of the last one with this id, in reading order.

        Returns none for a line that is not held whole, and for a request whose images stand on no lines.
        """
        high, low = _key(caller, request_id)
        slots = np.flatnonzero(self._keys[:, 0] == high)
        times, lines = self._rows["time"][slots], self._rows["line"][slots, 0]  # without the pixels of a whole page
        # Without slots that are being written, whose time may be of the new image: their key's low half is 0 first.
        is_held = (self._keys[slots, 1] != 0) & (self._keys[slots, 0] == high)
        slots, times, lines = slots[is_held], times[is_held], lines[is_held]
        newest = times.max(initial=0.0)  # all signs of a reading have one time
        slots = slots[(times == newest) & (lines == line)]
        keys, rows = self._keys[slots], self._rows[slots]  # copies
        indices = keys[:, 1].astype(np.int64) - low
        # The time, too: a slot may hold the same sign of a later request with this id by now.
        is_whole = (self._keys[slots] == keys).all() and (self._rows["time"][slots] == newest).all()
        is_whole = is_whole and (keys[:, 0] == high).all() and (indices >= 0).all()
        if not is_whole or (rows["line"] != (line, len(slots))).any():
            return {}
        return {int(indices[at]): _answered(rows[at]) for at in np.argsort(indices).tolist()}

    def close(self) -> None:
        """Gives this process's part to others, with what is in it. Its end does the same."""
        fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, _LOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, 0, 0, 0))
        os.close(self._file)

    def _claim(self) -> bool:
        """Takes a part that no process holds. Returns False where there is none, as while many workers are replaced."""
        for part in range(self._parts):
            try:
                fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, part, 1, 0))
            except OSError:
                continue
            self._part = part
            return True
        return False


def _answered(row: np.void) -> Answered:
    return Answered(
        float(row["time"]), int(row["version"]), int(row["digit"]), float(row["probability"]),
        float(row["novelty"]), int(row["refusal"]), row["pixels"].tobytes(),
    )  # fmt: skip


def _key(caller: str, request_id: str) -> tuple[int, int]:
    digest = blake2b(f"{caller}\0{request_id}".encode(), digest_size=16).digest()
    high, low = ONE_KEY.unpack(digest)
    return high, low >> 2 | 1  # 62 bits of the low half, and never 0: any index is added without an overflow
