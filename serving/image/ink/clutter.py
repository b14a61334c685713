"""Removes what lies near the digit and is none: ruled lines, tables and other regions at the border, specks.

Something is removed only where something else remains that is large enough to be the digit.
"""

import numpy as np

from serving.image.ink.components import HEIGHT, LEFT, TOP, WIDTH, Components, Mask, components_of, without
from serving.image.ink.paper import Ink

# Chosen on simulated pictures and stand-ins of validation rows (decisions 0012 and 0043).
SPECK_SHARE = 0.02  # of the largest component's ink: specks anywhere
FAR_SPECK_SHARE = 0.06  # of the largest component's ink: specks that are far from it
PALE = 0.6  # of another component's level: what is paler and reaches the border is a shadow
SMALLEST_INNER = 0.05  # of the picture's longer side: that other component
FAR = 0.1  # of the largest component's longer side
SMALLEST_RULED_SIDE = 20  # pixels; in a smaller picture strokes and lines look alike
REGION_CONTACT = 0.3  # of the picture's shorter side: length of the border that a region at the border covers
LINE_BAND = 0.16  # of the picture's side: depth of the band along the border in which ruled lines lie
LINE_IN_BAND = 0.9  # least share of a line's ink that lies in that band
REMNANT_SHARE = 0.35  # of the largest component's ink: with less, what lies in the band may be short
SOLID_FILL = 0.65  # of its box that a solid region fills
SOLID_THICKNESS = 1.0  # of a digit's area by its longer side, which is one to three times its stroke's thickness
SMALLEST_DIGIT = 0.12  # of the picture's longer side, next to a region at the border
LINE_GAP = 0.05  # of the picture's longer side: least distance of a line or region from the digit; at least two pixels
LINE_ASPECT = 7.0  # length of a line by its thickness, at least
LINE_FILL = 0.6  # of its box that a line fills
LONGER_THAN_DIGIT = 1.3  # length of a free line by the digit's extent in its direction, at least


def without_clutter(ink: Ink) -> tuple[Ink, Components]:
    """Returns the ink without clutter, and the components that are left."""
    components = components_of(ink)
    # Lines first: the largest component must be the digit, not a line.
    for rule in (shadows, regions_at_border, free_lines, specks):
        if len(components) < 2:
            break
        dropped = rule(ink, components)
        if dropped.any():
            ink = without(ink, components, dropped)
            components = components_of(ink)
    return ink, components


def shadows(ink: Ink, components: Components) -> Mask:
    """Returns True for components, (n,), that reach the border and are paler than one that does not."""
    levels = components.amounts / components.areas
    reach = components.border_contacts().any(axis=1)
    inner = ~reach & (components.longer_sides >= SMALLEST_INNER * max(ink.shape))
    return np.asarray(reach & (levels < PALE**2 * levels[inner].max(initial=0)))


def regions_at_border(ink: Ink, components: Components) -> Mask:
    """Returns True for components, (n,), that run along the border for a while and keep a distance from the digit."""
    none = np.zeros(len(components), np.bool_)
    if min(ink.shape) < SMALLEST_RULED_SIDE:
        return none
    contact = components.border_contacts().sum(axis=1)
    regions = (contact >= REGION_CONTACT * min(ink.shape)) | (
        (contact > 0) & (_lies_in_band(ink, components) | _is_solid(components))
    )
    if not regions.any() or regions.all():
        return none
    if components.longer_sides[~regions].max() < SMALLEST_DIGIT * max(ink.shape):
        return none  # the component at the border is the digit, and the rest is specks
    main = int(np.where(regions, -1.0, components.amounts).argmax())
    return np.asarray(regions & (components.distances_from(main) > _gap(ink)))


def _lies_in_band(ink: Ink, components: Components) -> Mask:
    """Returns True for components, (n,), long or small, that lie nearly wholly in a band along the picture's border."""
    rows, columns = (slice(deep, -deep) for deep in (max(2, round(LINE_BAND * side)) for side in ink.shape))
    energy = np.square(ink[rows, columns], dtype=np.float32).ravel()
    inside = np.bincount(components.labels[rows, columns].ravel(), energy, len(components) + 1)[1:]
    is_long = components.longer_sides >= REGION_CONTACT * max(ink.shape)
    is_small = components.amounts < REMNANT_SHARE * components.amounts.max()
    return np.asarray((is_long | is_small) & (inside <= (1 - LINE_IN_BAND) * components.amounts))


def _is_solid(components: Components) -> Mask:
    """Returns True for components, (n,), that fill their box, and are thicker than a stroke of that picture."""
    thickness = components.boxes[:, [WIDTH, HEIGHT]].min(axis=1)
    fill = components.areas / (components.boxes[:, WIDTH] * components.boxes[:, HEIGHT])
    typical = components.areas / components.longer_sides  # of a straight line: its thickness; of other strokes, more
    thinnest = SOLID_THICKNESS * typical[fill < SOLID_FILL].min(initial=np.inf)
    return np.asarray((fill >= SOLID_FILL) & (thickness >= thinnest))


def free_lines(ink: Ink, components: Components) -> Mask:
    """Returns True for components, (n,), that are straight lines along a side of the digit and longer than it."""
    if min(ink.shape) < SMALLEST_RULED_SIDE:
        return np.zeros(len(components), np.bool_)
    boxes = components.boxes
    thickness = boxes[:, [WIDTH, HEIGHT]].min(axis=1)
    length = components.longer_sides
    straight = (length >= LINE_ASPECT * thickness) & (components.areas >= LINE_FILL * thickness * length)
    if not straight.any() or straight.all():
        return np.zeros(len(components), np.bool_)
    main = int(np.where(straight, -1.0, components.amounts).argmax())
    left, top, width, height = boxes[main]
    straight &= components.amounts <= components.amounts[main]  # else it is a 1 among specks
    upright = boxes[:, HEIGHT] > boxes[:, WIDTH]
    long = length >= LONGER_THAN_DIGIT * np.where(upright, height, width)
    ends = boxes[:, [LEFT, TOP]] + boxes[:, [WIDTH, HEIGHT]]
    outside = np.where(
        upright,
        (ends[:, 0] <= left) | (boxes[:, LEFT] >= left + width),
        (ends[:, 1] <= top) | (boxes[:, TOP] >= top + height),
    )
    return np.asarray(straight & long & outside)


def specks(ink: Ink, components: Components) -> Mask:  # noqa: ARG001  # all rules take the same
    """Returns True for components, (n,), with next to no ink, or with little and a distance from the largest."""
    main = int(components.amounts.argmax())
    shares = components.amounts / components.amounts[main]
    dropped: Mask = shares < SPECK_SHARE
    # Near the digit so much ink may be its own: the bar of a 5, a gap in a thin stroke.
    doubtful = ~dropped & (shares < FAR_SPECK_SHARE)
    if doubtful.any():  # distances take the longest, and most pictures need none
        far = max(1.5, FAR * float(components.longer_sides[main]))
        dropped |= doubtful & (components.distances_from(main) > far)
    return dropped


def _gap(ink: Ink) -> float:
    return max(2.0, LINE_GAP * float(max(ink.shape)))
