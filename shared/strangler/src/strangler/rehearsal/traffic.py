"""Plays behaviours: performs their operations, judges the answers, and writes the journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from threading import Lock

from strangler.domain.traffic import Answer, Behaviour, Operation, Unexpected, Write
from strangler.rehearsal.journal import Journal, Outcome
from strangler.rehearsal.ports import Http, HttpError, Totals

# The exceptions of a behaviour that reads an answer which is not as it should be.
MISREAD = (Unexpected, LookupError, TypeError, ValueError, AttributeError)


class Tally:
    """Counts of one process, for threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._requests = 0
        self._failed = 0
        self._acknowledged: Counter[str] = Counter()
        self._writers: Counter[str] = Counter()

    def request(self) -> None:
        with self._lock:
            self._requests += 1

    def failure(self) -> None:
        with self._lock:
            self._failed += 1

    def acknowledgement(self, writes: Sequence[Write], writer: str | None) -> None:
        with self._lock:
            self._acknowledged.update({write.capability for write in writes})
            if writer and writes:
                self._writers[writer] += 1

    def totals(self) -> Totals:
        with self._lock:
            return Totals(
                requests=self._requests,
                failed=self._failed,
                acknowledged=dict(self._acknowledged),
                writers=dict(self._writers),
            )


class Session:
    """One behaviour with a connection, played operation by operation.

    After an unexpected answer the session is over, for its behaviour no longer knows the state of its
    rows.
    """

    def __init__(
        self,
        name: str,
        behaviour: Behaviour,
        *,
        http: Http,
        journal: Journal,
        tally: Tally,
        writer: bool = False,
    ) -> None:
        self.name = name
        self.failed = False
        self._behaviour = behaviour
        self._http = http
        self._journal = journal
        self._tally = tally
        self._writer = name if writer else None
        self._next = next(behaviour, None)

    def play(self) -> bool:
        """Performs the next operation; False if there was none, or if it ``failed``."""
        operation, self._next = self._next, None
        if operation is None:
            return False
        number = self._journal.sent(self.name, operation) if operation.writes or operation.told else None
        answer = self._ask(operation)
        if answer is None:
            return False
        try:
            if number is not None:
                self._settle(number, operation, answer)
            self._next = self._behaviour.send(answer)
        except StopIteration:
            pass
        except MISREAD as error:
            self._fail(operation, f"answered {answer.status}, misread: {error!r}: {_excerpt(answer)}")
            return False
        return True

    def close(self) -> None:
        """Ends the behaviour and the connection."""
        self._behaviour.close()
        self._http.close()

    def _ask(self, operation: Operation) -> Answer | None:
        try:
            answer = self._http.send(operation)
        except HttpError as error:
            self._fail(operation, str(error))
            return None
        finally:
            self._tally.request()
        if answer.status not in operation.expected:
            self._fail(operation, f"answered {answer.status}: {_excerpt(answer)}")
            return None
        return answer

    def _settle(self, number: int, operation: Operation, answer: Answer) -> None:
        if answer.status >= 400:
            self._journal.answered(number, Outcome.REFUSED)
            return
        told = tuple(operation.told(answer)) if operation.told else ()
        self._journal.answered(number, Outcome.ACKNOWLEDGED, told)
        self._tally.acknowledgement((*operation.writes, *told), self._writer)

    def _fail(self, operation: Operation, detail: str) -> None:
        self.failed = True
        self._journal.failed(self.name, operation, detail)
        self._tally.failure()


def _excerpt(answer: Answer) -> str:
    location = next((value for name, value in answer.headers.items() if name.lower() == "location"), "")
    text = answer.body[:300].decode(errors="replace")
    return f"Location: {location} {text}" if location else text
