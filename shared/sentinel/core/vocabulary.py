"""The words that telemetry may be shown in: those of any program's errors, and those of the sources at hand.

A program's messages are spelled in its sources; what somebody from outside wrote into them is not. So a
word that stands in neither list is a value, whatever it says, and values are not shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

LONGEST = 40  # characters of a word
_IDENTIFIER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]+")
_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")

_COMMON = frozenset(
    """
    a aborted above accepted access accessed active address after again all allowed already an and any are
    argument arguments array as ascii assertion assigned async at attempt attempted attempts attribute
    await awaited back bad base be because been before below between big body bool boolean both bound
    bounds broken buffer busy but by byte bytes call callable called can cannot cause caused certificate
    changed character characters class client close closed closing code codec coerce column compare
    comparison completed concurrent condition config configuration conflict connect connected connecting
    connection constraint context convert converting coroutine corrupt could count crashed create created
    critical cursor cycle data database date datetime deadlock debug decode decoding default defined
    deleted denied deprecated depth deserialize device dict dictionary did different digit digits
    dimension directory disconnected disk division dns do does done down dropped duplicate during each
    element elements empty encode encoding end ended entry equal error errors event exceeded exception
    exceptions executing execution exist exists exited expected expecting expired extra fail failed
    failing failure failures fatal field fields file first float for forbidden format found from full
    function gateway gb generator got greater had handle handled handler handling has hashable have header
    host http https id if implemented import imported in incompatible incomplete index indices infinite
    info initialize initialized input insert instance instances int integer integers internal into invalid
    is it item items iterable iteration iterator its job join json kb key keys keyword kind large last
    left length less level limit line list listen listening literal load loaded local locale lock locked
    long loop lost lower malformed many map mapping match matching maximum mb mean member memory message
    method minimum missing mode module more most ms much multiple must name named names negative network
    new no node non none nonetype not nothing null number numeric object objects of off offset on only
    open opened operand operands operation operator option or order other out outside over overflow own
    pack page param parameter parameters parse parsing partial pass path peer pending permission pipe
    pointer pool port positional possible present process property protocol queue raised range reached
    read reading ready received recursion reference referenced refused register rejected release remote
    removed replace request requests required reset resolve resource response result results retries retry
    retrying return returned returning row rows run running runtime s same schema scope second seconds
    segmentation sequence serializable serialize serializer server service session set shape shared short
    should shutdown signal single size slot socket some source sql ssl started state statement status step
    stop stopped str stream string strings subscriptable success such support supported syntax table take
    taken takes task tcp than that the their then there they this thread time timed timeout timestamp tls
    to too traceback transaction true tuple tuples type types unable unauthorized unavailable unbound
    undefined unexpected unhandled unhashable unicode unique unknown unpack unreachable unrecognized
    unsupported until up update updated url use used user utf value values variable version violates
    violation wait waiting warn warning was were when where which while will with within without worker
    write writing wrong year zero
    """.split()  # noqa: SIM905 - a list to be read
)
_EXCEPTIONS = frozenset(
    """
    ArithmeticError AssertionError AttributeError BaseException BlockingIOError BrokenPipeError
    BufferError CancelledError ChildProcessError ClassCastException ConnectionAbortedError ConnectionError
    ConnectionRefusedError ConnectionResetError DoesNotExist EOFError Exception ExceptionGroup
    FileExistsError FileNotFoundError FloatingPointError IllegalArgumentException IllegalStateException
    ImportError IndentationError IndexError IndexOutOfBoundsException IntegrityError InterruptedError
    IsADirectoryError JSONDecodeError KeyboardInterrupt KeyError LookupError MemoryError
    ModuleNotFoundError NameError NoSuchElementException NotADirectoryError NotImplementedError
    NullPointerException NumberFormatException OperationalError OSError OverflowError PermissionError
    ProcessLookupError ProgrammingError RangeError RecursionError ReferenceError RuntimeError
    StopAsyncIteration StopIteration SyntaxError SystemError SystemExit TimeoutError TypeError
    UnboundLocalError UnicodeDecodeError UnicodeEncodeError UnicodeError URIError ValidationError
    ValueError ZeroDivisionError
    """.split()  # noqa: SIM905 - a list to be read
)
COMMON = _COMMON | _EXCEPTIONS


def words_of(texts: Iterable[str]) -> frozenset[str]:
    """Return the names that texts spell, as they stand, and the words these are made of, in lower case.

    >>> sorted(words_of(["def addToCart(user_id): ..."]))
    ['add', 'addToCart', 'cart', 'def', 'id', 'to', 'user', 'user_id']
    """
    found: set[str] = set()
    for text in texts:
        for name in set(_IDENTIFIER.findall(text)):
            if len(name) <= LONGEST:
                found.add(name)
                found.update(part.lower() for part in _PART.findall(name) if len(part) > 1)
    return frozenset(found)


def known(word: str, words: frozenset[str]) -> bool:
    """Whether a word may be shown.

    >>> known("NoneType", frozenset()), known("Please", frozenset()), known("user_id", frozenset({"user_id"}))
    (True, False, True)
    """
    if len(word) > LONGEST:
        return False
    lower = word.lower()
    return word in words or lower in words or word in COMMON or lower in COMMON
