"""The intake's cost is printed for each kind of picture, and a refusal for what is over the limits."""

import pytest

from benchmarks.scripts.picture_cost import FILES, Cost, main
from benchmarks.servers.example_network import sample_digits
from serving.image.picture import ImageLimits


def test_each_picture_has_a_line_with_three_figures(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--pictures", "png-28", "png", "--repetitions", "2"])
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["picture", "KiB", "decode", "ms", "frame", "ms", "Pillow", "ms"]
    assert [line[:17].strip() for line in lines] == ["PNG of 28x28", "PNG of 200x200"]
    assert all(float(figure) > 0 for line in lines for figure in line[17:].split())


@pytest.mark.parametrize("limits", [ImageLimits(10, 10**6), ImageLimits(2**20, 195)])
def test_a_picture_over_the_limits_is_refused_in_words(limits: ImageLimits) -> None:
    file = FILES["png-28"].encode(sample_digits()[:1])
    cost = Cost("PNG", [file])
    cost.measure(0, limits)
    assert (cost.decode, cost.frame, len(cost.pillow)) == ([], [], 1)
    assert "refused: the image has" in cost.line()
