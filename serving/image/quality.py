"""What may be wrong with a picture, told beside its digit. The bits are those of `python -m serving.image`."""

from enum import IntFlag


class Quality(IntFlag):
    """Remarks on one picture; 0 when there is none."""

    BLANK = 1  # no ink stands out from the paper
