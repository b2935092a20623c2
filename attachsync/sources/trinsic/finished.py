"""What is kept of a session that is finished, and when it is asked about again (specs/trinsic.md 1.6, 2). Pure.

Nothing changes in it any more, but that it is redacted: that is asked about only where it matters (`on_gone`).
"""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from attachsync.errors import MalformedError
from attachsync.model import JSON
from attachsync.sources.trinsic.lists import SessionLine
from attachsync.sources.trinsic.records import Results, attachments

_RARELY = 86_400.0
"""So often (seconds) a finished session is asked about, unless a person asks."""
_MOST_REFUSED = 10
"""More sessions than this are not taken for redacted by their refusals alone, while no other is answered."""
_REFUSED = (400, 404, 410)
"""What the results call may answer after a redaction; none of it is documented."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished session. `keys` are those of its attachments; `asked`: Unix time, None when there is nothing to lose.

    `by` is the fingerprint of the results key that opened it.
    """

    error_code: str = ""
    keys: tuple[str, ...] = ()
    asked: float | None = None
    by: str = ""

    def is_due(self, now: float, *, thorough: bool) -> bool:
        """Whether it is to be asked about."""
        return self.asked is not None and (thorough or not 0 <= now - self.asked < _RARELY)

    def was_redacted(self, line: SessionLine, status: int) -> bool:
        """Whether a refusal of the key that opened it before means so; the session itself must still be there."""
        return status in _REFUSED and _fingerprint(line) == self.by

    def asked_at(self, now: float) -> "Finished":
        """Asked now, and nothing new."""
        return dataclasses.replace(self, asked=now)

    def over(self) -> "Finished":
        """Nothing is left of it."""
        return Finished(self.error_code)

    def mark(self) -> JSON:
        """What the cursor of its feed keeps."""
        return {"error_code": self.error_code, "keys": list(self.keys), "asked": self.asked, "by": self.by}


def of(line: SessionLine, found: Results, now: float) -> Finished:
    """A session that has just been found finished."""
    if found.problem:
        return Finished(found.error_code)
    keys = tuple(item.key for item in attachments("", line.session, line.name, found))
    return Finished(found.error_code, keys, now if keys else None, _fingerprint(line))


def doubt(refused: Sequence[SessionLine]) -> MalformedError | None:
    """Whether so many were redacted at once, or something else has changed, their refusals alone do not say."""
    if len(refused) <= _MOST_REFUSED:
        return None
    return MalformedError(
        f"the results of session {refused[0].session} and {len(refused) - 1} more are refused, and of none they are "
        "given: nothing was removed; if all of these were redacted, prune them"
    )


def read(cursor: JSON) -> Finished | None:
    """What a cursor keeps; None where a session is not finished."""
    if not isinstance(cursor, Mapping):
        return None
    code, keys, asked, by = (cursor.get(name) for name in ("error_code", "keys", "asked", "by"))
    return Finished(
        code if isinstance(code, str) else "",
        tuple(key for key in keys if isinstance(key, str)) if isinstance(keys, list) else (),
        float(asked) if isinstance(asked, int | float) else None,
        by if isinstance(by, str) else "",
    )


def _fingerprint(line: SessionLine) -> str:
    return hashlib.sha256(line.results_key.encode()).hexdigest()[:12]
