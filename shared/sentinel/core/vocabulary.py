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
    a aborted above abstract accepted access accessed active address after again all allowed already
    ambiguous an and any are arg args argument arguments array as ascii assertion assigned assignment
    associated async at attempt attempted attempts attribute await awaited aware back bad base be because
    been before below between big body bool boolean both bound bounds bracket broken buffer busy but by
    byte bytearray bytes call callable called can cannot cause caused certificate changed char character
    characters class client close closed closing cls code codec coerce column comma compare comparison
    completed complex concatenate concurrent condition config configuration conflict connect connected
    connecting connection consistent constraint context conversion convert converted converting coroutine
    corrupt could count crashed create created critical cursor cycle data database date datetime day
    deadlock debug decode decoding default defined deleter denied deprecated depth descriptor deserialize
    detected device dict dictionary did different digit digits dimension directory disconnected disk
    division dns do does domain done down dropped duplicate during each element elements ellipsis empty
    encode encoding end ended enough entry equal errno error errors event exceeded exceeds exception
    exceptions executing execution exist exists exited expected expecting expired extra fail failed
    failing failure failures fatal field fields file first float for forbidden format formatting found
    from frozen full function gateway gb generator getter got greater had handle handled handler handling
    has hash hashable hashing have header host hour http https id if implemented import imported in
    incompatible incomplete indent index indices infinite info initialize initialized input insert
    instance instances int integer integers internal into invalid is it item items iterable iterate
    iteration iterator its job join json kb key keys keyword kind kwargs large last layout left length
    less level limit line list listen listening literal load loaded local locale lock locked long loop
    lost lower malformed many map mapping match matched matching math maximum mb mean member memory
    memoryview message metaclass method minimum minute missing mode module modulo month more most mro ms
    much multiple must naive name named names negative nested network never new no node non none nonetype
    not nothing null number numeric object objects of off offset on only open opened operand operands
    operation operator option or order ordinal other out outside over overflow own pack page param
    parameter parameters parenthesis parse parsing partial pass path peer pending permission pipe pointer
    pool pop popped port position positional possible power precision present process property protocol
    queue raised range reached read reading ready real received recursion reference referenced refused
    register rejected release remote removed replace request requests required reset resolution resolve
    resource response result results retries retry retrying return returned returning row rows run running
    runtime s same schema scope second seconds segmentation self sequence serializable serialize
    serializer server service session set setter shape shared shift short should shutdown sign signal
    single size slot slots socket some source sql ssl start started starting state statement status step
    stop stopped str stream string strings subscriptable substring success such super support supported
    syntax t table take taken takes task tcp than that the their then there they this thread time timed
    timeout timestamp tls to too traceback transaction true truth tuple tuples type types unable
    unauthorized unavailable unbound undefined unexpected unhandled unhashable unicode unindent unique
    unknown unpack unpacking unreachable unrecognized unsupported unterminated until up update updated url
    use used user utf value values variable version violates violation wait waiting warn warning was weak
    were when where which while width will with within without worker write writing wrong year zero
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
