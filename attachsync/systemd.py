"""What systemd is told (sd_notify(3)): ready, reloading, stopping, status, alive.

Our own few lines, because RELOADING=1 must come with MONOTONIC_USEC in one message, which no maintained library sends.
"""

import os
import socket
import time
from collections.abc import Mapping


class Notifier:
    """Sends states to the socket that systemd names; does nothing where there is none."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        period = environment.get("WATCHDOG_USEC", "0") if ours else "0"
        self.watchdog = int(period) / 1_000_000 / 2 if period.isdigit() and self._address else 0.0
        """Seconds between two signs of life; 0: none are wanted."""

    def ready(self, status: str) -> None:
        """Started, or done reloading (also after a refused reload)."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """Reloading begins."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Stopping begins."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.setblocking(False)
            try:
                channel.sendto(state.encode(), self._address)
            except OSError:
                return  # systemd is gone or busy: nothing that mirroring should stop for
