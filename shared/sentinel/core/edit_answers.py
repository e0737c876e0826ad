"""What a model answers, as JSON of one form, and the JSON Schema that asks for it.

The schema is plain enough for the strict modes of model providers: every property is required, none may be
added, and no keyword bounds a value. The bounds are checked here, after the answer came.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sentinel.core.edit_refusals import AnswerRefused, NothingProposed
from sentinel.core.edits import Edit, NewFile

MAX_ANSWER: Final = 1_000_000  # bytes
MAX_EDITS: Final = 50  # edits and new files
MAX_SEARCH: Final = 20_000  # characters
MAX_REPLACE: Final = 100_000
MAX_TEXT: Final = 200_000  # of a new file
MAX_CAUSE: Final = 4_000
_MOST_PROBLEMS = 5


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class EditAnswer(_Form):
    """One text replaced by another."""

    path: str = Field(description="The file, relative to the repository, with / between names.")
    search: str = Field(description="Text of the file, copied exactly; it must stand in the file once only.")
    replace: str = Field(description="The text that stands there instead.")


class NewFileAnswer(_Form):
    """One file that is not there yet."""

    path: str = Field(description="The new file, relative to the repository, with / between names.")
    text: str = Field(description="All of the file.")


class Answer(_Form):
    """A cause in words, and the edits that remove it."""

    cause: str = Field(description="What is wrong and why these edits put it right.")
    edits: list[EditAnswer] = Field(description="Changes of files that were shown.")
    new_files: list[NewFileAnswer] = Field(description="Files to add, such as a test.")

    def proposed(self) -> list[Edit | NewFile]:
        """Return the edits and new files, in the order of the answer."""
        edits = [Edit(each.path, each.search, each.replace) for each in self.edits]
        return [*edits, *(NewFile(each.path, each.text) for each in self.new_files)]


def schema() -> dict[str, Any]:
    """Return the JSON Schema of an answer, as strict modes take it."""
    return Answer.model_json_schema()


def load(data: bytes) -> Answer:
    """Read an answer. Raises `AnswerRefused` that says what is wrong, and quotes nothing of it.

    >>> load(b'{"cause": "", "edits": [], "new_files": [{"path": "a", "text": ""}]}').proposed()
    [NewFile(path='a', text='')]
    """
    if len(data) > MAX_ANSWER:
        raise AnswerRefused(f"the answer has more than {MAX_ANSWER} bytes")
    try:
        answer = Answer.model_validate_json(data)
    except ValidationError as error:
        raise AnswerRefused(f"the answer is not of the form that was asked for: {_told(error)}") from None
    _check(answer)
    return answer


def _told(error: ValidationError) -> str:
    """Name the places as this form names them: a key of the model's own is not repeated."""
    known = {*Answer.model_fields, *EditAnswer.model_fields, *NewFileAnswer.model_fields}
    told = []
    for each in error.errors(include_url=False, include_input=False, include_context=False)[:_MOST_PROBLEMS]:
        place = ".".join(
            str(part) if isinstance(part, int) or part in known else "(another key)" for part in each["loc"]
        )
        told.append(f"{place or 'all of it'}: {each['type'].replace('_', ' ')}")
    return "; ".join(told)


def _check(answer: Answer) -> None:
    count = len(answer.edits) + len(answer.new_files)
    if not 0 < count <= MAX_EDITS:
        refused = AnswerRefused if count else NothingProposed
        raise refused(f"the answer has 1 to {MAX_EDITS} edits and new files")
    bounds = [("cause", answer.cause, MAX_CAUSE)]
    for at, edit in enumerate(answer.edits):
        bounds.append((f"edits.{at}.search", edit.search, MAX_SEARCH))
        bounds.append((f"edits.{at}.replace", edit.replace, MAX_REPLACE))
    bounds += [(f"new_files.{at}.text", new.text, MAX_TEXT) for at, new in enumerate(answer.new_files)]
    for name, text, limit in bounds:
        if len(text) > limit:
            raise AnswerRefused(f"{name} has more than {limit} characters")
