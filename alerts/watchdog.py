"""A plain thread that watches the watch: does the monitor look, and does the loop run at all?

A rule that hangs, a job that is not called any more or a blocked event loop would silence every
alert. This thread needs none of them.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

log = logging.getLogger(__name__)

DO: Final = "Watch open positions in the broker's own app, and look at the desk or restart it"
AGAIN: Final = "the watch of this desk looks again: look at the page before you rely on it"
ASLEEP: Final = 3.0  # this thread woke so many times later than it asked: all of us stood still


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds."""

    every: float = 1.0
    notice: float = 10.0  # without a look: said in the log, and the looks are begun anew
    speak: float = 30.0  # without a look: said to whoever can be reached


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be done about a silence; `words` are empty while there is none."""

    words: str = ""
    restart: bool = False
    speak: bool = False


def verdict(silent: float, loop_silent: float, patience: Patience) -> Verdict:
    """Judge the seconds since the last look, and since the loop last ran anything."""
    if silent < patience.notice:
        return Verdict()
    speak = silent >= patience.speak
    if loop_silent < patience.notice:
        words = f"the monitor has not looked for {silent:.0f} s, though the loop runs"
        return Verdict(f"{words}: it is begun anew", restart=True, speak=speak)
    words = f"the event loop has not run for {loop_silent:.0f} s"
    return Verdict(f"{words}: no page, no order and no alert of this desk works", speak=speak)


class Watchdog:
    """`looked` returns the monotonic moment of the last whole look, None if there was none yet.

    `restart` is called on the loop and has it look again; `speak` is called on this thread, once
    for each silence, with what is wrong in words, and once when it is over: it must reach a person
    without the loop.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        looked: Callable[[], float | None],
        restart: Callable[[], None],
        *,
        speak: Callable[[str], None] | None = None,
        patience: Patience | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.restarts = 0
        self._loop = loop
        self._looked = looked
        self._restart = restart
        self._speak = speak
        self._patience = patience or Patience()
        self._monotonic = monotonic
        self._loop_ran = 0.0
        self._since = 0.0  # when watching began, or all of us stood still
        self._said: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        self._since = self._loop_ran = self._monotonic()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(2 * self._patience.every)

    # on its own thread

    def _run(self) -> None:
        every = self._patience.every
        while True:
            asked = self._monotonic()
            self._knock()
            if self._stop.wait(every):
                return
            now = self._monotonic()
            if now - asked > ASLEEP * every:
                self._since = now  # it was not the monitor that stood still, but the process
                continue
            try:
                self._judge(now)
            except Exception:
                log.exception("the watchdog failed, and goes on")

    def _knock(self) -> None:
        """Ask the loop for a sign of life."""
        try:
            self._loop.call_soon_threadsafe(self._answer)
        except RuntimeError:  # the loop is closed: the desk is about to end
            self._stop.set()

    def _answer(self) -> None:
        self._loop_ran = self._monotonic()

    def _judge(self, now: float) -> None:
        silent = now - max(self._looked() or 0.0, self._since)
        loop_silent = now - max(self._loop_ran, self._since)
        found = verdict(silent, loop_silent, self._patience)
        if not found.words:
            self._well()
            return
        self._say_once("notice", found.words)
        if found.restart:
            self._begin_anew()
        if found.speak and self._say_once("speak", found.words) and self._speak:
            self._speak(f"{found.words}. {DO}")

    def _begin_anew(self) -> None:
        """Have it look; asked again at each pass, as whatever stopped it may stop it again."""
        self.restarts += 1
        with contextlib.suppress(RuntimeError):  # the loop is closed: the next knock ends this
            self._loop.call_soon_threadsafe(self._restart)

    def _say_once(self, what: str, words: str) -> bool:
        if what in self._said:
            return False
        self._said.add(what)
        log.error("WATCHDOG: %s", words)
        return True

    def _well(self) -> None:
        if self._said:
            log.warning("WATCHDOG: the monitor looks again")
            told = "speak" in self._said
            self._said.clear()
            if told and self._speak:  # else the alarm would be the last word
                self._speak(AGAIN)
