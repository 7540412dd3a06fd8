from trading.model import Mode
from trading.subscriptions import SubscriptionBook, Wanted

A, B = "NSE_FO|1", "NSE_FO|2"


def test_the_sum_of_all_holds_is_wanted_in_the_highest_mode() -> None:
    book = SubscriptionBook()
    book.hold("risk", [A], Mode.LTPC)
    book.hold("page", [A, B], Mode.FULL, deep=True)

    assert book.wanted() == Wanted({A: Mode.FULL, B: Mode.FULL}, frozenset({A, B}))


def test_f14_when_a_page_leaves_the_other_holder_keeps_its_mode() -> None:
    book = SubscriptionBook()
    book.hold("risk", [A], Mode.LTPC)
    release = book.hold("page", [A], Mode.FULL, deep=True)
    release()

    assert book.wanted() == Wanted({A: Mode.LTPC}, frozenset())


def test_one_subscription_serves_every_holder_and_a_second_release_is_harmless() -> None:
    book = SubscriptionBook()
    changes: list[Wanted] = []
    book.changes.subscribe(changes.append)
    first = book.hold("tab 1", [A], Mode.FULL)
    book.hold("tab 2", [A], Mode.FULL)
    first()
    first()

    assert book.wanted().modes == {A: Mode.FULL}
    assert changes == [book.wanted()]
    assert [hold.holder for hold in book.holds()] == ["tab 2"]
