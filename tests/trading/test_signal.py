import threading

import pytest

from trading.signal import Priority, Signal


def test_undo_removes_only_its_own_subscriber() -> None:
    signal: Signal[int] = Signal("numbers")
    heard: list[int] = []
    undo = signal.subscribe(heard.append)
    signal.subscribe(heard.append)
    signal.emit(1)
    undo()
    undo()
    signal.emit(2)

    assert heard == [1, 1, 2]
    assert len(signal) == 1


def test_a_subscriber_may_leave_while_it_is_being_told() -> None:
    signal: Signal[int] = Signal("numbers")
    heard: list[str] = []

    def once(_: int) -> None:
        heard.append("once")
        undo()

    undo = signal.subscribe(once, priority=Priority.HIGH)
    signal.subscribe(lambda _: heard.append("always"))
    signal.emit(1)
    signal.emit(2)

    assert heard == ["once", "always", "always"]


def test_a_foreign_thread_is_refused() -> None:
    signal: Signal[int] = Signal("numbers")
    raised: list[BaseException] = []

    def emit() -> None:
        try:
            signal.emit(1)
        except RuntimeError as error:
            raised.append(error)

    thread = threading.Thread(target=emit)
    thread.start()
    thread.join()

    assert len(raised) == 1
    with pytest.raises(RuntimeError, match="numbers"):
        raise raised[0]
