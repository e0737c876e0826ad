"""The testing module: what is captured, and what a failed assertion says."""

from __future__ import annotations

import logging
import re

import pytest

import sentinel_client
from sentinel_client._types import Batch, Later
from sentinel_client.testing import Captured, MemoryTransport, capture

pytest_plugins = ["sentinel_client.pytest_plugin"]


def test_the_fixture_has_what_a_test_logs(sentinel_log: Captured) -> None:
    """Of native loggers and of `logging`, at every level, masked as it would be on disk."""
    sentinel_client.get_logger("a").trace("low")
    logging.getLogger("b").debug("lower", extra={"password": "hunter2hunter2"})
    assert sentinel_log.messages == ["low", "lower"]
    assert "hunter2" not in str(sentinel_log.entries)
    sentinel_log.clear()
    assert sentinel_log.entries == []


def test_an_assertion_returns_the_entry(sentinel_log: Captured) -> None:
    """Fields have to be equal, and a pattern has to be found in the text."""
    log = sentinel_client.get_logger("a")
    log.info("paid %d", 7, order=7, flag=True)
    log.info("paid %d", 8, order=8)
    assert sentinel_log.assert_logged(message=re.compile(r"^paid \d$"), order=8)["order"] == 8
    sentinel_log.assert_logged(level="INFO", times=2)
    sentinel_log.assert_logged(order=9, times=0)
    sentinel_log.assert_not_logged(flag=1)
    sentinel_log.assert_not_logged(order=re.compile("7"))


def test_a_failed_assertion_says_what_was_logged_instead(sentinel_log: Captured) -> None:
    """The nearest entry, how it differs, and all that was logged, bounded."""
    log = sentinel_client.get_logger("shop")
    with pytest.raises(AssertionError, match="nothing was logged"):
        sentinel_log.assert_logged(message="paid")
    log.warning("paid", order=7)
    for at in range(30):
        log.info("other", at=at)
    with pytest.raises(AssertionError) as caught:
        sentinel_log.assert_logged(message="paid", order=8, level="INFO", place="x")
    told = str(caught.value)
    assert "not logged: message='paid' order=8 level='INFO' place='x'" in told
    assert (
        "the nearest entry differs: order is 7 and not 8; level is 'WARNING' and not 'INFO'; no place" in told
    )
    assert "logged were 31:" in told
    assert "and 11 more" in told
    with pytest.raises(AssertionError, match="logged 30 times and not 2"):
        sentinel_log.assert_logged(message="other", times=2)
    with pytest.raises(AssertionError, match="logged, 1 times: message='paid'"):
        sentinel_log.assert_not_logged(message="paid")


def test_what_is_captured_can_be_left_to_native_loggers() -> None:
    """With `root=False` records of `logging` go where they went."""
    with capture(root=False) as log:
        logging.getLogger("a").warning("no")
        sentinel_client.get_logger("a").warning("yes")
    assert log.messages == ["yes"]


def test_a_memory_transport_has_what_a_client_sends(tmp_path: object) -> None:
    """It takes batches as a real one does, and answers as it is told."""
    transport = MemoryTransport(Later("not yet"))
    client = sentinel_client.Client(transports=[transport], directory=tmp_path, batch_seconds=0)
    try:
        log = sentinel_client.get_logger("a", client)
        for at in range(3):
            log.info("m", at=at)
        assert client.flush(30)
        assert transport.wait(3)
        assert [each["at"] for each in transport.entries] == [0, 1, 2]
        (state,) = client.stats()["transports"]
        assert (state["sent"], state["tries"]) == (3, 1 + len(transport.batches))
    finally:
        client.close()
    assert transport.send(Batch("p", 0, 1, [b'{"at":3}']), 1.0) is not None
    assert transport.entries[-1] == {"at": 3}
