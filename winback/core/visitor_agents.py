"""What programs call themselves, as dated rows with a source (`visitor_agents.yaml`).

In: the text of the file. Out: what kind of program an agent is, if it is one that is known. Must never happen: a table
that changes and verdicts that go on saying they were reached by it.
"""

from __future__ import annotations

# Pydantic reads the annotations of its models when the module runs.
import datetime as dt
import hashlib
from functools import cached_property
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from winback import documents

Kind = Literal["crawler", "preview", "scanner", "proxy", "tool"]
_Words = Annotated[str, Field(min_length=1, pattern=r"^[^A-Z]+$")]


class _Agent(BaseModel):
    """One row: what an agent is, begins with or holds."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    whole: _Words | None = Field(default=None, alias="is")
    begins: _Words | None = None
    holds: _Words | None = None
    kind: Kind
    source: Annotated[str, Field(min_length=1)]

    @model_validator(mode="after")
    def _one_place(self) -> _Agent:
        if sum(words is not None for words in (self.whole, self.begins, self.holds)) != 1:
            message = "a row says exactly one of is, begins and holds"
            raise ValueError(message)
        return self

    def fits(self, agent: str) -> bool:
        """Whether the row is about an agent in lower case."""
        if self.whole is not None:
            return agent == self.whole
        return agent.startswith(self.begins) if self.begins is not None else str(self.holds) in agent


class _OfPeople(BaseModel):
    """A word in the agents of people's devices that looks like one of a program."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    word: _Words
    source: Annotated[str, Field(min_length=1)]


class VisitorAgents(BaseModel):
    """The whole of `visitor_agents.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    version: Literal[1]
    checked_on: dt.date
    people: list[_OfPeople] = []
    agents: list[_Agent] = Field(min_length=1)

    @cached_property
    def digest(self) -> str:
        """Eight hexadecimal digits that change with anything the table says."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:8]

    def kind_of(self, agent: str) -> Kind | None:
        """Return what kind of program an agent is, None if no row knows it; the first row that fits counts."""
        lower = agent.lower().strip()
        for theirs in self.people:
            lower = lower.replace(theirs.word, "")
        return next((row.kind for row in self.agents if row.fits(lower)), None)


def load_visitor_agents(text: str, *, file: str) -> VisitorAgents:
    """Return the table a YAML text holds.

    Raises
    ------
    ConfigError
        With every fault in the file.
    """
    return documents.load(text, file=file, model=VisitorAgents)
