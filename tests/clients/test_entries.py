"""From a call to an entry: its shape, context, traces and exceptions, by native loggers and by `logging`."""

from __future__ import annotations

import asyncio
import io
import logging
import logging.config
import logging.handlers
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

import sentinel_client
from sentinel.core.failure_reading import failure_of
from sentinel_client._context import parse_traceparent
from sentinel_client._logger import Logger
from sentinel_client.testing import Captured, capture

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def log() -> Iterator[Captured]:
    """Capture everything that is logged."""
    with capture() as captured:
        yield captured


@pytest.fixture
def native(log: Captured) -> Logger:
    """Return a native logger."""
    return sentinel_client.get_logger("checkout")


@pytest.fixture
def alone(log: Captured) -> logging.Logger:
    """Return a logger that has our handler and no other: that of pytest raises where ours must not."""
    handler = next(
        each for each in logging.getLogger().handlers if isinstance(each, sentinel_client.SentinelHandler)
    )
    logger = logging.Logger("alone", 1)  # noqa: LOG001 - pytest has its handler on all that are known
    logger.addHandler(handler)
    return logger


def only(log: Captured) -> dict[str, Any]:
    """Return the one entry."""
    (entry,) = log.entries
    return entry


def test_a_native_call_is_an_entry(log: Captured, native: Logger) -> None:
    """Time in epoch seconds with microseconds, level, logger, message, then the fields."""
    before = time.time()
    native.info("paid", order=7, amount=12.5, ok=True, nothing=None)
    entry = only(log)
    assert before - 1e-6 <= entry.pop("time") <= time.time()
    assert entry == {
        "level": "INFO",
        "logger": "checkout",
        "message": "paid",
        "order": 7,
        "amount": 12.5,
        "ok": True,
        "nothing": None,
    }


def test_a_record_of_logging_is_the_same_entry(log: Captured) -> None:
    """`extra` is kept as fields, and the time is the record's."""
    logging.getLogger("checkout").info("paid", extra={"order": 7, "amount": 12.5})
    entry = only(log)
    assert isinstance(entry.pop("time"), float)
    assert entry == {"level": "INFO", "logger": "checkout", "message": "paid", "order": 7, "amount": 12.5}


def test_fields_that_have_the_entrys_own_names_are_kept_beside_them(log: Captured, native: Logger) -> None:
    """They get a `_`, in calls, bound fields and context."""
    native.bind(time=1).info("m", level=3, logger="x", message="y")
    with sentinel_client.context(message="z"):
        native.info("n")
    first, second = log.entries
    assert (first["level"], first["level_"], first["logger_"], first["message_"]) == ("INFO", 3, "x", "y")
    assert first["time_"] == 1
    assert (second["message"], second["message_"]) == ("n", "z")


@pytest.mark.parametrize(
    "value", [float("nan"), "\ud800", object(), [float("inf")], {"a": b"x"}, "x" * 20_000]
)
def test_no_value_costs_an_entry(log: Captured, native: Logger, value: object) -> None:
    """Whatever a field's value or the message is, the entry is there with its other fields."""
    native.info("m", order=7, value=value)
    logging.getLogger("a").info("m", extra={"order": 7, "value": value})
    native.bind(value=value).info("m", order=7)
    native.info(value, order=7)  # type: ignore[arg-type]
    assert [each["order"] for each in log.entries] == [7] * 4
    assert len(log.entries[0]["value"]) < 17_000


def test_arguments_that_do_not_fit_the_message_are_a_field(
    log: Captured, native: Logger, alone: logging.Logger
) -> None:
    """A wrong `%` costs neither the entry nor the arguments."""
    native.info("%d of %d", 1)
    alone.info("%d of %d", "x")
    alone.info("%(name)s", {"name": "n"})
    native.info("%s!", "yes")
    assert log.messages == ["%d of %d", "%d of %d", "n", "yes!"]
    assert [each.get("args") for each in log.entries] == [[1], ["x"], None, None]


def test_levels_decide_what_is_made() -> None:
    """The longest beginning of the logger's name counts, by whole parts."""
    levels = {"a": "ERROR", "a.b": "DEBUG"}
    with capture(level="WARNING", levels=levels) as log:
        for name in ("a", "a.b", "a.b.c", "ab"):
            logger = sentinel_client.get_logger(name)
            for level in ("trace", "debug", "info", "warning", "error", "critical"):
                getattr(logger, level)(f"{name} {level}")
        assert not sentinel_client.get_logger("ab").is_enabled_for("INFO")
    assert [each for each in log.messages if each.startswith("a ")] == ["a error", "a critical"]
    assert [each for each in log.messages if each.startswith("ab ")] == [
        "ab warning",
        "ab error",
        "ab critical",
    ]
    assert "a.b debug" in log.messages
    assert "a.b.c debug" in log.messages
    assert "a.b trace" not in log.messages


def test_levels_count_for_records_of_logging_too() -> None:
    """A logger that passes more on is held to ours, one that has to pass more on does; afterwards not."""
    chatty = logging.getLogger("chatty")
    chatty.setLevel(logging.DEBUG)
    with capture(level="INFO", levels={"quiet": "ERROR", "loud": "DEBUG"}) as log:
        for name in ("chatty", "quiet.x", "loud.x", "other"):
            for level in (logging.DEBUG, logging.INFO, logging.ERROR):
                logging.getLogger(name).log(level, "%s %s", name, logging.getLevelName(level))
    chatty.setLevel(logging.NOTSET)
    assert log.messages == [
        *("chatty INFO", "chatty ERROR", "quiet.x ERROR"),
        *("loud.x DEBUG", "loud.x INFO", "loud.x ERROR", "other INFO", "other ERROR"),
    ]
    assert logging.getLogger("loud").level == logging.NOTSET


def test_a_level_may_be_set_and_named(log: Captured, native: Logger) -> None:
    """`log` takes names and numbers; a name that is none counts as INFO, since `log` raises nothing."""
    native.log("warn", "a")
    native.log(35, "b")
    native.log("loud", "c")
    native.set_level("ERROR")
    native.info("no")
    native.bind(x=1).warning("no")
    assert [(each["level"], each["message"]) for each in log.entries] == [
        *(("WARNING", "a"), ("Level 35", "b"), ("INFO", "c"))
    ]


def test_bound_fields_are_of_the_logger_that_bound_them(log: Captured, native: Logger) -> None:
    """`bind` returns another logger; the call's fields count more."""
    child = native.bind(order=7, step="a")
    child.info("one", step="b")
    native.info("two")
    assert (log.entries[0]["order"], log.entries[0]["step"]) == (7, "b")
    assert "order" not in log.entries[1]


def test_context_belongs_to_its_block_and_task(log: Captured, native: Logger) -> None:
    """Nested blocks add up, tasks have their own, and threads begin without."""

    async def one(name: str) -> None:
        sentinel_client.bind_context(task=name)
        await asyncio.sleep(0)
        native.info(name)

    async def both() -> None:
        await asyncio.gather(one("a"), one("b"))

    with sentinel_client.context(request_id="r"):
        with sentinel_client.context(user=1):
            native.info("inner")
        asyncio.run(both())
        thread = threading.Thread(target=native.info, args=("thread",))
        thread.start()
        thread.join()
        assert sentinel_client.current_context() == {"request_id": "r"}
    native.info("outer")
    told = {each["message"]: each for each in log.entries}
    assert (told["inner"]["request_id"], told["inner"]["user"]) == ("r", 1)
    assert [told[name]["task"] for name in "ab"] == ["a", "b"]
    assert all("request_id" not in told[name] for name in ("thread", "outer"))


def test_context_may_be_taken_away() -> None:
    """`unbind_context` takes the named fields, or all."""
    with sentinel_client.context():
        sentinel_client.bind_context(a=1, b=2)
        sentinel_client.unbind_context("a")
        assert sentinel_client.current_context() == {"b": 2}
        sentinel_client.unbind_context()
        assert sentinel_client.current_context() == {}


def test_the_span_of_opentelemetry_is_told(log: Captured, native: Logger) -> None:
    """Its ids are the entry's, before those of the context; a field of the call counts more."""
    tracer = TracerProvider().get_tracer("t")
    with sentinel_client.context(trace_id=TRACE), tracer.start_as_current_span("s") as span:
        native.info("in")
        native.info("own", trace_id="mine")
    with sentinel_client.context(trace_id=TRACE):
        native.info("out")
    found = span.get_span_context()
    assert log.entries[0]["trace_id"] == f"{found.trace_id:032x}"
    assert log.entries[0]["span_id"] == f"{found.span_id:016x}"
    assert [each["trace_id"] for each in log.entries[1:]] == ["mine", TRACE]


@pytest.mark.parametrize(
    ("header", "known"),
    [
        (f"00-{TRACE}-00f067aa0ba902b7-01", True),
        (f"cc-{TRACE}-00f067aa0ba902b7-01-later", True),
        (f"00-{TRACE}-00f067aa0ba902b7-01-more", False),
        (f"ff-{TRACE}-00f067aa0ba902b7-01", False),
        (f"00-{TRACE.upper()}-00f067aa0ba902b7-01", False),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE}-00f067aa0ba902b7", False),
        ("", False),
        (None, False),
    ],
)
def test_a_traceparent_is_read_as_w3c_has_it(header: str | None, known: bool) -> None:
    """A header that is none has no trace, whatever else it is."""
    assert (parse_traceparent(header) == {"trace_id": TRACE, "span_id": "00f067aa0ba902b7"}) is known


def fail(depth: int, note: str) -> None:
    """Fail below so many calls."""
    items = list(range(depth, depth + 1000))
    if depth:
        fail(depth - 1, note)
    raise KeyError(f"price of {len(items)}")


def test_an_exception_is_told_with_frames_and_what_led_to_it(log: Captured, native: Logger) -> None:
    """Outermost frame first, variables of the innermost frames only and cut, causes in order."""
    try:
        try:
            fail(6, "x" * 1000)
        except KeyError as error:
            raise RuntimeError("no order") from error
    except RuntimeError:
        native.exception("failed", order=7)
        logging.getLogger("a").exception("failed")
        sentinel_client.installed().log("ERROR", "failed", error=True)
    for entry in log.entries:
        told = entry["exception"]
        assert (told["type"], told["message"]) == ("RuntimeError", "no order")
        assert told["frames"][-1]["function"].startswith("test_an_exception")
        (cause,) = told["causes"]
        assert (cause["type"], cause["message"]) == ("KeyError", "'price of 1000'")
        assert [each["function"] for each in cause["frames"]][-7:] == ["fail"] * 7
        assert "no order" in told["stack"]
        assert "raise RuntimeError" in told["stack"]


def test_variables_are_bounded_and_may_be_left_out(native: Logger) -> None:
    """As many frames as the option says are told with variables, and none with 0."""
    for frames in (5, 0):
        with capture(frame_variables=frames) as log:
            try:
                fail(6, "x" * 1000)
            except KeyError:
                native.exception("failed")
        told = only(log)["exception"]["frames"]
        assert ["vars" in each for each in told] == [False] * (8 - frames) + [True] * frames
        if frames:
            assert told[-1]["vars"]["depth"] == "0"
            assert told[-1]["vars"]["note"].endswith("…")
            assert max(map(len, told[-1]["vars"].values())) <= 201


def test_the_server_reads_a_failure_from_the_entry(log: Captured, native: Logger) -> None:
    """Type, message, calls and variables arrive where patches are made from (docs/context.md)."""
    try:
        fail(1, "s")
    except KeyError:
        with sentinel_client.context(trace_id=TRACE):
            native.exception("checkout failed")
    import json

    found = failure_of([json.dumps(only(log)).encode()])
    assert (found.exception, found.message) == ("KeyError", "'price of 1000'")
    assert (found.calls[0].function, found.calls[0].file) == ("fail", __file__)
    assert dict(found.calls[0].values)["depth"] == "0"
    assert found.traces == (TRACE,)


class Nasty(Exception):
    """Does not print."""

    def __str__(self) -> str:
        raise RuntimeError


def test_exceptions_of_every_kind_are_told(log: Captured, native: Logger) -> None:
    """Groups, notes, cycles of causes, endless recursion, and those that do not print."""
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    group = ExceptionGroup("many", [one, TypeError("three")])
    group.add_note("seen twice")
    native.error("group", exc_info=group)
    native.error("nasty", exc_info=Nasty())

    def endless() -> None:
        endless()

    try:
        endless()
    except RecursionError:
        native.exception("deep")
    native.error("none", exc_info=True)
    told: list[Any] = [each.get("exception") for each in log.entries]
    assert {each["message"] for each in told[0]["causes"]} == {"one", "two", "three"}
    assert told[0]["notes"] == ["seen twice"]
    assert told[1]["message"] == "<cannot be shown: RuntimeError>"
    assert len(told[2]["frames"]) == 40
    assert told[3] is None


def test_records_that_came_another_way_keep_what_they_have(log: Captured, alone: logging.Logger) -> None:
    """A queue handler turns exceptions into text; dicts and sub-classes of records are records, too."""
    records: queue.Queue[logging.LogRecord] = queue.Queue()
    sender = logging.getLogger("sender")
    sender.propagate = False
    handler = logging.handlers.QueueHandler(records)
    sender.addHandler(handler)
    try:
        fail(0, "")
    except KeyError:
        sender.exception("failed %s", "here", extra={"order": 7}, stack_info=True)
    sender.removeHandler(handler)
    alone.handle(records.get())
    alone.handle(logging.makeLogRecord({"msg": "made", "levelno": 20, "levelname": "INFO", "order": 8}))

    class Mine(logging.LogRecord):
        """A record that has its own fields first."""

        def __init__(self, *arguments: Any, **named: Any) -> None:
            self.order = 9
            super().__init__(*arguments, **named)

    alone.handle(Mine("n", 20, __file__, 1, "mine", (), None))
    assert [each["order"] for each in log.entries] == [7, 8, 9]
    assert log.entries[0]["message"].startswith("failed here")
    assert "KeyError" in log.entries[0]["message"] + log.entries[0].get("exception", "")
    assert set(log.entries[2]) == {"time", "level", "logger", "message", "order"}


def test_other_handlers_do_not_add_fields(log: Captured) -> None:
    """A formatter leaves `message` and `asctime` in the record; they are no fields."""
    logger = logging.getLogger("shared")
    stream = logging.StreamHandler(io.StringIO())
    stream.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(stream)
    logger.info("m", extra={"order": 7})
    logger.removeHandler(stream)
    assert set(only(log)) == {"time", "level", "logger", "message", "order"}


def test_the_place_of_the_call_is_told_where_asked_for() -> None:
    """With `source`, records have file, line and function."""
    with capture(source=True) as log:
        logging.getLogger("a").info("m", extra={"order": 1})
        logging.getLogger("a").info("m")
    for entry in log.entries:
        assert entry["file"] == __file__
        assert entry["function"] == "test_the_place_of_the_call_is_told_where_asked_for"
        assert isinstance(entry["line"], int)


def test_filters_of_the_handler_count(log: Captured) -> None:
    """A filter keeps records out, or changes them."""
    handler = next(
        each for each in logging.getLogger().handlers if isinstance(each, sentinel_client.SentinelHandler)
    )

    def masked(record: logging.LogRecord) -> bool:
        record.tenant = "t"
        return "no" not in record.getMessage()

    handler.addFilter(masked)
    logging.getLogger("a").info("no")
    logging.getLogger("a").info("yes")
    assert [(each["message"], each["tenant"]) for each in log.entries] == [("yes", "t")]


def test_dict_config_makes_a_handler(tmp_path: Any) -> None:
    """Options stand beside `class`; a wrong one is an error there."""
    told = {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {
            "sentinel": {
                "class": "sentinel_client.SentinelHandler",
                "level": "WARNING",
                "directory": str(tmp_path),
                "transports": ["console"],
            }
        },
        "loggers": {"configured": {"handlers": ["sentinel"], "level": "DEBUG", "propagate": False}},
    }
    logging.config.dictConfig(told)
    (handler,) = logging.getLogger("configured").handlers
    assert isinstance(handler, sentinel_client.SentinelHandler)
    assert (handler.level, handler.client.options.directory) == (logging.WARNING, tmp_path)
    logging.getLogger("configured").handlers.clear()
    handler.close()
    assert handler.client.closed
    told["handlers"]["sentinel"]["servce"] = "y"  # type: ignore[index]
    with pytest.raises(ValueError, match="sentinel") as caught:
        logging.config.dictConfig(told)
    assert "did you mean 'service'" in str(caught.value.__cause__)


def test_an_object_that_logs_as_it_prints_ends(log: Captured, native: Logger, alone: logging.Logger) -> None:
    """Logging from within logging is kept, but not for ever."""

    class Loud:
        def __repr__(self) -> str:
            alone.info("%s printed", self, extra={"self": self})
            return "loud"

    native.info("m", it=Loud())
    alone.info("%r", Loud())
    assert 2 <= len(log.entries) < 40
    assert log.entries[-1]["message"] == "loud"


def test_what_ends_a_thread_or_the_program_is_logged(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At CRITICAL, with the exception; then Python goes on as it would have."""
    ended: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", ended.append)
    with capture() as log:
        thread = threading.Thread(target=fail, args=(0, ""), name="worker-1")
        thread.start()
        thread.join()
        entry = log.assert_logged(level="CRITICAL", message="uncaught exception", thread="worker-1")
        assert entry["exception"]["type"] == "KeyError"
        assert [each.exc_type for each in ended] == [KeyError]
        ended.clear()  # it holds the thread's frames
        try:
            fail(0, "")
        except KeyError:
            sys.excepthook(*sys.exc_info())
        assert len(log.found(message="uncaught exception")) == 2
        assert "KeyError" in capsys.readouterr().err
        sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
        assert len(log.entries) == 2


def test_install_is_undone() -> None:
    """Handlers, level and hooks are as before, and native loggers log to `logging` again."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level, sys.excepthook, threading.excepthook)
    native = sentinel_client.get_logger("early")
    with capture() as log:
        native.info("in")
        with capture() as inner:
            native.info("deeper")
        native.info("again")
    assert (list(root.handlers), root.level, sys.excepthook, threading.excepthook) == before
    assert (log.messages, inner.messages) == (["in", "again"], ["deeper"])
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[assignment, method-assign]
    logger = logging.getLogger("early")
    logger.addHandler(handler)
    native.warning("out %d", 1, order=7, name="n")
    logger.removeHandler(handler)
    (record,) = records
    assert (record.getMessage(), record.__dict__["order"], record.__dict__["name_"]) == ("out 1", 7, "n")
    assert record.pathname == __file__


SCRIPT = """
import logging, sentinel_client
sentinel_client.install(url="http://127.0.0.1:9", service="s", directory={folder!r}, exit_seconds=0.1)
logging.getLogger("a").warning("printed")
logging.getLogger("a").info("kept")
raise SystemExit(3) if {quiet} else KeyError("end")
"""


@pytest.mark.parametrize(("quiet", "code"), [(True, 3), (False, 1)])
def test_a_program_prints_and_ends_as_without_us(tmp_path: Any, quiet: bool, code: int) -> None:
    """Warnings are still on stderr, the exit code is its own, and the end does not wait for the network."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT.format(folder=str(tmp_path / "log"), quiet=quiet)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("printed\n")
    assert "kept" not in done.stderr
    assert done.stderr.rstrip().endswith("KeyError: 'end'") is not quiet
