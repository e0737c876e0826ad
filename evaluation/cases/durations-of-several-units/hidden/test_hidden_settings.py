import pytest

from edge.parsing import BadValue, duration
from edge.settings import BadSettings, Settings, load


def test_several_units_add_up() -> None:
    assert duration("1h30m") == 5400
    assert duration("1d1h1m1s") == 90061


@pytest.mark.parametrize(("text", "seconds"), [("1.5h", 5400), ("0.25s", 0.25), ("10.5m", 630)])
def test_a_number_may_have_a_fraction(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["1h30", "1h30x", "xs", "h", "1h,30m", "about 5m", "5m!", "1.2.3s", "m5"])
def test_what_is_not_all_a_duration_is_refused(text: str) -> None:
    with pytest.raises(BadValue):
        duration(text)


def test_a_bad_duration_is_told_with_its_name() -> None:
    with pytest.raises(BadSettings, match="EDGE_CACHE_FOR: '1h30' is not a duration"):
        load({"EDGE_CACHE_FOR": "1h30", "EDGE_TRACING": "on"})


def test_settings_of_several_units_are_read() -> None:
    assert load({"EDGE_CACHE_FOR": "1h30m", "EDGE_TRACING": "off"}) == Settings(cache_for=5400.0)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), (" 5m ", 300), ("0s", 0)])
def test_one_unit_stays(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", " ", "10", "soon"])
def test_other_texts_stay_refused(text: str) -> None:
    with pytest.raises(BadValue, match="not a duration"):
        duration(text)
