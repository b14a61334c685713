from hypothesis import example, given
from hypothesis import strategies as st

from serving.errors import MOST_SHOWN, ModelRejectedError, NotExplainableError, shown

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=2 * MOST_SHOWN)  # lone surrogates too


@given(ANY_TEXT)
@example("\U0010ffff" * MOST_SHOWN)
@example("first\nsecond \x1b[31m")
def test_what_others_wrote_is_one_short_line_that_every_protocol_carries(text: str) -> None:
    for line in (shown(text), str(ModelRejectedError(text)), str(NotExplainableError(text))):
        assert line.isprintable()
        assert len(line) <= MOST_SHOWN
        line.encode()
        assert line == text or not text.isprintable() or len(text) > MOST_SHOWN
