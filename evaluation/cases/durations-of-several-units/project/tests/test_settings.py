import pytest

from edge.parsing import BadValue, boolean, duration
from edge.settings import BadSettings, Settings, load


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("5m", 300), (" 2h ", 7200), ("1d", 86400)])
def test_a_duration_is_in_seconds(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "10", "5m!", "3w"])
def test_what_is_not_a_duration_is_refused(text: str) -> None:
    with pytest.raises(BadValue, match="not a duration"):
        duration(text)


@pytest.mark.parametrize(("text", "value"), [("on", True), ("YES", True), ("off", False), ("0", False)])
def test_words_for_yes_and_no_are_known(text: str, value: bool) -> None:
    assert boolean(text) is value


def test_an_empty_environment_has_the_defaults() -> None:
    assert load({}) == Settings()


def test_settings_are_read() -> None:
    settings = load({"EDGE_UPSTREAM_TIMEOUT": "5s", "EDGE_TRACING": "on", "PATH": "/bin"})
    assert settings == Settings(upstream_timeout=5.0, tracing=True)


def test_all_problems_are_told() -> None:
    with pytest.raises(BadSettings) as caught:
        load({"EDGE_CACHE_FOR": "long", "EDGE_TRACING": "perhaps"})
    assert "EDGE_CACHE_FOR: 'long' is not a duration" in str(caught.value)
    assert "EDGE_TRACING: 'perhaps' is neither" in str(caught.value)
