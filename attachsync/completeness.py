"""What became of all that a track's listings ever named: every attachment is in exactly one place. Pure."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from attachsync.model import JSON, State

_FAILED = frozenset({State.MISMATCH, State.UNSUPPORTED, State.FAILED})
_RULES = {"too_large": "max_size"}
"""What a rule is called where it is not the key of the config that it stands for."""
PLACES = ("stored", "to fetch", "not ready", "refused", "gone", "failed", "removed", "ended")
"""Where what was listed can be; together they are all of it."""


@dataclass(frozen=True, slots=True)
class Completeness:
    """One track's, or with `together` several tracks'. `listed` is counted by itself, not summed up from the rest."""

    listed: int = 0
    stored: int = 0
    to_fetch: int = 0
    """Not tried yet in the version that was listed."""
    not_ready: int = 0
    """The service does not have them ready yet: no failure."""
    refused: Mapping[str, int] = field(default_factory=dict)
    """The rule that keeps them out -> how many."""
    gone: int = 0
    """The service has them no more, or never did."""
    failed: int = 0
    removed: int = 0
    """Removed on purpose: `prune`, `retain`, `on_gone`."""
    ended: int = 0
    """Over before there was anything to mirror: nobody's failure."""
    pass_listed: int = 0
    """How many the last listing named; where a service tells only what is new, only that."""
    pass_new: int = 0
    """How many of these were new, or changed."""

    def places(self) -> dict[str, int]:
        """Where they are: place -> how many, in the order of PLACES."""
        kept = (self.stored, self.to_fetch, self.not_ready, sum(self.refused.values()), self.gone, self.failed)
        return dict(zip(PLACES, (*kept, self.removed, self.ended), strict=True))

    def sentence(self) -> str:
        """The sum for people: `82 listed = 80 stored + 1 not ready + 1 refused (max_size)`."""
        parts = [f"{count:,} {place}{self._why(place)}" for place, count in self.places().items() if count]
        return f"{self.listed:,} listed = {' + '.join(parts)}" if parts else "nothing listed"

    def _why(self, place: str) -> str:
        if place != "refused":
            return ""
        several = len(self.refused) > 1
        return f" ({', '.join(f'{count:,} {rule}' if several else rule for rule, count in self.refused.items())})"

    def document(self) -> dict[str, JSON]:
        """As `status --json` prints it."""
        places: dict[str, JSON] = {place.replace(" ", "_"): count for place, count in self.places().items()}
        last: dict[str, JSON] = {"listed": self.pass_listed, "new": self.pass_new}
        return {"listed": self.listed, **places, "refused_by": dict(self.refused), "last_pass": last}


def counted(
    rows: Iterable[tuple[State, bool, int]], rules: Mapping[str, int], not_ready: int, last: tuple[int, int]
) -> Completeness:
    """From (state, kept, how many) of a track's rows; `rules`: rule -> how many it keeps out.

    `not_ready`: how many of those that wait were tried. `last`: how many the last pass listed, and how many were new.
    """
    kept = dict.fromkeys(State, 0)
    listed = removed = ended = 0
    for state, is_kept, count in rows:
        listed += count
        if is_kept:
            kept[state] += count
        elif state is State.GONE:
            removed += count
        else:
            ended += count
    return Completeness(
        listed=listed,
        stored=kept[State.STORED],
        to_fetch=kept[State.WAITING] - not_ready,
        not_ready=not_ready,
        refused=dict(sorted((_RULES.get(rule, rule), count) for rule, count in rules.items())),
        gone=kept[State.GONE],
        failed=sum(kept[state] for state in _FAILED),
        removed=removed,
        ended=ended,
        pass_listed=last[0],
        pass_new=last[1],
    )


def together(tracks: Iterable[Completeness]) -> Completeness:
    """Several tracks as one."""
    whole = list(tracks)
    rules: Counter[str] = Counter()
    for one in whole:
        rules.update(one.refused)
    names = [field.name for field in dataclasses.fields(Completeness) if field.name != "refused"]
    sums = {name: sum(getattr(one, name) for one in whole) for name in names}
    return Completeness(refused=dict(sorted(rules.items())), **sums)
