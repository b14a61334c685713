"""Number of examples that a property is tried with. tests/conftest.py has the profiles.

`HYPOTHESIS_PROFILE=search`, which `make fuzz` sets, tries new random examples, and many. The default profile
tries the same ones each time: it finds what a change has broken, and a search what has always been wrong.
"""

from hypothesis import settings

SEARCHED = 2000


def examples(count: int) -> settings:
    """Settings of a property that `count` examples try in every test run, and SEARCHED in a search."""
    return settings(max_examples=max(count, SEARCHED) if settings.get_current_profile_name() == "search" else count)
