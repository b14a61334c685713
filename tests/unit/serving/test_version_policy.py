import pytest

from serving.version_policy import ALL, VersionPolicy, parse_candidate, parse_policy

THERE = [1, 2, 3, 10]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("latest", [10]),
        ("latest:2", [3, 10]),
        ("latest:9", THERE),
        ("all", THERE),
        ("2", [2]),
        ("3,1,7", [1, 3]),
        (str(2**63 - 1), []),
    ],
)
def test_a_policy_picks_from_what_is_there_and_reads_back(text: str, wanted: list[int]) -> None:
    policy = parse_policy(text)
    assert policy is not None
    assert policy.wanted(THERE, bad=()) == wanted
    assert parse_policy(str(policy)) == policy


@pytest.mark.parametrize("text", ["auto", "0"])
def test_no_policy_leaves_it_to_the_repository(text: str) -> None:
    assert parse_policy(text) is None


@pytest.mark.parametrize(
    "text", ["", "-1", "latest:0", "newest", "1,", "01", "1 2", "latest:", str(2**63), f"1,{2**63}"]
)
def test_what_is_no_policy_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected auto, latest"):
        parse_policy(text)


def test_older_good_ones_stand_in_for_bad_ones_but_not_for_those_named() -> None:
    assert VersionPolicy(latest=1).wanted(THERE, bad={10, 3}) == [2]
    assert VersionPolicy(latest=2).wanted(THERE, bad={10}) == [2, 3]
    assert VersionPolicy(versions=(3, 10)).wanted(THERE, bad={10}) == [3]
    assert VersionPolicy(latest=ALL).wanted([], bad=()) == []


@pytest.mark.parametrize(
    ("text", "version", "share"), [("4:10%", 4, 0.1), ("4:0.05", 4, 0.05), ("12:100%", 12, 1.0), ("4:0.5%", 4, 0.005)]
)
def test_candidate_is_a_version_and_a_share(text: str, version: int, share: float) -> None:
    candidate = parse_candidate(text)
    assert candidate is not None
    assert candidate.version == version
    assert candidate.share == pytest.approx(share)
    assert parse_candidate(str(candidate)) == candidate


@pytest.mark.parametrize(
    "text", ["4", "4:", "4:0%", "4:0", "4:101%", "4:1.5", "0:10%", "-4:10%", "4:nan", f"{2**63}:1%"]
)
def test_what_is_no_candidate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected VERSION:SHARE"):
        parse_candidate(text)
