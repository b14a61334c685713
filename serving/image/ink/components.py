"""Connected components of a picture's strokes, diagonals included."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from serving.image.ink.paper import Ink, strokes_of

Mask = npt.NDArray[np.bool_]
LEFT, TOP, WIDTH, HEIGHT = range(4)  # columns of Components.boxes


@dataclass(frozen=True, slots=True)
class Components:
    """Components of a picture's strokes; a component's row is its label less one.

    Arrays instead of objects, without loops: a hostile picture has thousands of components.
    """

    labels: npt.NDArray[np.int32 | np.uint16]  # (h, w), 0 = no component
    boxes: npt.NDArray[np.int32]  # (n, 4): left, top, width, height
    areas: npt.NDArray[np.int32]  # (n,), pixels
    amounts: npt.NDArray[np.float64]  # (n,), the sum of each component's squared ink: a pale shadow has little

    def __len__(self) -> int:
        return len(self.areas)

    @property
    def longer_sides(self) -> npt.NDArray[np.int32]:
        """Longer side of each component's box, (n,), in pixels."""
        longer: npt.NDArray[np.int32] = self.boxes[:, [WIDTH, HEIGHT]].max(axis=1, initial=0)
        return longer

    def mask(self, chosen: Mask) -> npt.NDArray[np.uint8]:
        """Returns 255 where a component of those `chosen`, (n,), is, (h, w) uint8."""
        table = np.append(False, chosen).astype(np.uint8) * np.uint8(255)
        return table[self.labels]

    def distances_from(self, main: int) -> npt.NDArray[np.float32]:
        """Returns the distance of each component from the one in row `main`, (n,), in pixels."""
        away = cv2.distanceTransform(np.where(self.labels == main + 1, 0, 255).astype(np.uint8), cv2.DIST_L2, 5)
        nearest = np.full(len(self) + 1, np.inf, np.float32)
        np.minimum.at(nearest, self.labels.ravel(), away.ravel())
        return nearest[1:]

    def border_contacts(self) -> npt.NDArray[np.int64]:
        """Returns how many pixels of each component lie on the picture's border, by side: (n, 4).

        In the order top, bottom, left, right.
        """
        return np.stack([np.bincount(edge, minlength=len(self) + 1)[1:] for edge in self._edges()], axis=1)

    def border_contacts_of(self, main: int) -> npt.NDArray[np.int64]:
        """Returns the row `main` of border_contacts(), (4,)."""
        return np.array([np.count_nonzero(edge == main + 1) for edge in self._edges()])

    def _edges(self) -> tuple[npt.NDArray[np.int32 | np.uint16], ...]:
        labels = self.labels
        return labels[0], labels[-1], labels[:, 0], labels[:, -1]


def components_of(ink: Ink) -> Components:
    """Returns the components of the strokes in `ink`, (h, w) uint8."""
    strokes = strokes_of(ink)
    # Half the memory is half the time, where so many components fit: each has a pixel of ink.
    kind = cv2.CV_16U if cv2.countNonZero(strokes) < 2**16 else cv2.CV_32S
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(strokes, connectivity=8, ltype=kind)
    if count == 2:  # one digit, as nearly always
        amounts = np.array([cv2.norm(ink, cv2.NORM_L2SQR, strokes)])
    else:
        inked = strokes.view(np.bool_)  # most of a picture is paper
        energy = np.square(ink[inked], dtype=np.float32)
        amounts = np.bincount(labels[inked], weights=energy, minlength=count)[1:].astype(np.float64, copy=False)
    return Components(labels, statistics[1:, :4], statistics[1:, cv2.CC_STAT_AREA], amounts)


def without(ink: Ink, components: Components, dropped: Mask) -> Ink:
    """Returns the ink without the components that are `dropped`, (n,), each with its soft edge."""
    if not dropped.any():
        return ink
    # A soft edge goes with the component that it is nearest to.
    kept_away, dropped_away = (
        cv2.distanceTransform(cv2.bitwise_not(components.mask(chosen)), cv2.DIST_L2, 3)
        for chosen in (~dropped, dropped)
    )
    return np.where(dropped_away < kept_away, np.uint8(0), ink)
