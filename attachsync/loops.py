"""Noticing that page tokens lead in a circle. Pure."""


class Loop:
    """Remembers one token at a time, for ever longer (Brent's cycle detection): enough to find any circle."""

    def __init__(self) -> None:
        self._remembered = ""
        self._steps = 0
        self._most = 1

    def closes(self, token: str) -> bool:
        """Take the next token: whether it is the one that is remembered."""
        if token == self._remembered:
            return True
        if self._steps == self._most:
            self._remembered, self._steps, self._most = token, 0, self._most * 2
        self._steps += 1
        return False
