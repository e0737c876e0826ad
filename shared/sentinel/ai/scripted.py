"""The model `scripted`: answers from a file, for tests and for work without a provider.

Nobody is asked and nothing is paid, and each reply says so. The file is a JSON list; the first entry whose
`when` holds answers: a text that stands in the question's data, the number of the sample, or a list of
these, all of which have to hold.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from sentinel.ai.model import ModelConfig, Path, Reach
from sentinel.core.questions import NotAnswered, Question, Reply, Usage
from sentinel.errors import Malformed, TooLarge

MAX_SCRIPT: Final = 5_000_000  # bytes
_Condition = Annotated[str, Field(min_length=1)] | Annotated[int, Field(ge=0)]


class ScriptedConfig(ModelConfig):
    """`file` is a path below the deployment's folder."""

    kind: Literal["scripted"]
    file: Path


class _Counts(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    input: int = Field(default=0, ge=0)
    output: int = Field(default=0, ge=0)


class Line(BaseModel):
    """One entry of a script: an answer, and when it is given. `usage` is what it pretends to have taken."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    answer: str | dict[str, Any]
    when: _Condition | list[_Condition] = []
    usage: _Counts = _Counts()

    def holds(self, question: Question) -> bool:
        """Say whether it answers this question."""
        data = "\n".join(each.text for each in question.turns)
        wanted = self.when if isinstance(self.when, list) else [self.when]
        return all(each == question.sample if isinstance(each, int) else each in data for each in wanted)


_SCRIPT: TypeAdapter[list[Line]] = TypeAdapter(list[Line])


class Scripted:
    """Answers by a script: `ports_patches.Model`. The file is read at each question."""

    def __init__(self, config: ScriptedConfig, reach: Reach) -> None:
        self._file = config.file
        self._read = reach.read

    def ask(self, question: Question, deadline: int) -> Reply:
        """Return the first answer that fits; takes no time. Raises also `Missing` and `Malformed`."""
        del deadline
        for line in load(self._file, self._read(self._file)):
            if line.holds(question):
                text = line.answer if isinstance(line.answer, str) else orjson.dumps(line.answer).decode()
                used = Usage(input=line.usage.input, output=line.usage.output)
                return Reply(text, "scripted", self._file, used, scripted=True)
        raise NotAnswered(f"the script {self._file} has no answer to this question")


def load(name: str, body: bytes) -> list[Line]:
    """Read a script. Raises `Malformed` that says what to change, and quotes nothing of it."""
    if len(body) > MAX_SCRIPT:
        raise TooLarge(f"{name}: a script has at most {MAX_SCRIPT:,} bytes")
    try:
        return _SCRIPT.validate_python(orjson.loads(body))
    except (orjson.JSONDecodeError, ValidationError):
        raise Malformed(
            f"{name}: a script is a JSON list of {{when?, answer, usage?}}; see docs/models.md"
        ) from None
