"""The one crossing from a socket's thread to the loop."""

import asyncio
import threading

from feeds.inbox import Inbox
from tests.ticks import tick
from trading.model import Batch


def batch(number: int, size: int = 1) -> Batch:
    return Batch([tick(f"NSE_FO|{number}") for _ in range(size)], number)


async def test_batches_and_events_arrive_in_order_on_the_loop() -> None:
    heard: list[object] = []
    threads: set[int] = set()

    def deliver(item: Batch) -> None:
        threads.add(threading.get_ident())
        heard.append(item.generation)

    inbox = Inbox(asyncio.get_running_loop(), deliver)

    def feed() -> None:
        for number in range(300):
            inbox.put(batch(number))
            if number % 100 == 0:
                inbox.tell(lambda number=number: heard.append(f"event {number}"))  # type: ignore[misc]

    await asyncio.to_thread(feed)
    await asyncio.sleep(0.01)

    expected: list[object] = []
    for number in range(300):
        expected.append(number)
        if number % 100 == 0:
            expected.append(f"event {number}")
    assert heard == expected
    assert threads == {threading.get_ident()}


async def test_when_full_the_oldest_ticks_go_and_events_stay() -> None:
    heard: list[object] = []
    inbox = Inbox(asyncio.get_running_loop(), lambda b: heard.append(b.generation), capacity=10)

    inbox.put(batch(1, size=4))
    inbox.tell(lambda: heard.append("event"))
    inbox.put(batch(2, size=4))
    inbox.put(batch(3, size=4))
    inbox.put(batch(4, size=4))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert heard == ["event", 3, 4]
    assert inbox.dropped == 8


async def test_one_wake_up_serves_all_that_came_meanwhile() -> None:
    loop = asyncio.get_running_loop()
    slices: list[int] = []
    inbox = Inbox(loop, lambda b: slices.append(b.generation))
    turns = 0

    for number in range(50):
        inbox.put(batch(number))
    while len(slices) < 50:
        turns += 1
        await asyncio.sleep(0)

    assert turns <= 2


async def test_a_long_queue_leaves_the_loop_its_turns() -> None:
    heard: list[int] = []
    inbox = Inbox(asyncio.get_running_loop(), lambda b: heard.append(b.generation))
    for number in range(10):
        inbox.put(batch(number, size=1500))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert 0 < len(heard) < 10
    await asyncio.sleep(0.05)
    assert heard == list(range(10))


async def test_a_subscriber_that_raises_does_not_stop_the_others() -> None:
    heard: list[int] = []

    def deliver(item: Batch) -> None:
        if item.generation == 1:
            raise ValueError("a subscriber's mistake")
        heard.append(item.generation)

    inbox = Inbox(asyncio.get_running_loop(), deliver)
    inbox.put(batch(1))
    inbox.put(batch(2))
    await asyncio.sleep(0.01)

    assert heard == [2]


def test_a_closed_loop_is_ignored() -> None:
    loop = asyncio.new_event_loop()
    heard: list[Batch] = []
    inbox = Inbox(loop, heard.append)
    loop.close()

    inbox.put(batch(1))
    inbox.tell(lambda: None)

    assert heard == []


async def test_what_is_held_when_the_feed_stops_is_still_delivered_in_order() -> None:
    heard: list[object] = []
    inbox = Inbox(asyncio.get_running_loop(), lambda b: heard.append(b.generation))
    inbox.put(batch(1, size=3_000))
    inbox.tell(lambda: heard.append("event"))
    inbox.put(batch(2, size=3_000))

    inbox.deliver_rest()

    assert heard == [1, "event", 2]
