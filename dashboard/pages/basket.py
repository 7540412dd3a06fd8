"""Baskets: legs put together, their pay-off, and the way to their review."""

from dashboard.basket_page import Builder
from dashboard.frame import Tab
from trading.desk import Desk

PATH = "/baskets"
TITLE = "Baskets"
ICON = "stacked_line_chart"
ORDER = 5


def build(desk: Desk, tab: Tab) -> None:
    Builder(desk, tab)
