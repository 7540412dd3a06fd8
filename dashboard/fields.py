"""The fields of tickets: a choice of few words, a stepper, and beside each what is wrong."""

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from nicegui import ui
from nicegui.element import Element
from nicegui.events import ValueChangeEventArguments

T = TypeVar("T")


class Complaint:
    """The words beside a field; empty while there is nothing to say."""

    def __init__(self, name: str) -> None:
        self._label = ui.label("").classes("v-problem").props('role="alert"')
        self._label.mark(f"problem-{name}")
        self._label.set_visibility(False)

    def say(self, words: str) -> None:
        if words != self._label.text:
            self._label.set_text(words)
            self._label.set_visibility(bool(words))


class Choice(Generic[T]):
    """One of a few words, each a button; `value` is what the chosen one stands for."""

    def __init__(
        self,
        label: str,
        options: Mapping[T, str],
        value: T,
        changed: Callable[[T], None],
        *,
        name: str,
        classes: str = "",
    ) -> None:
        self.value = value
        self._changed = changed
        self._buttons: dict[T, ui.button] = {}
        with ui.element("div").classes(f"v-choice {classes}") as group:
            group.props('role="radiogroup"')
            group._props["aria-label"] = label
            for option, words in options.items():
                button = ui.button(words, on_click=lambda o=option: self._choose(o), color=None)
                button.props('flat no-caps role="radio"').mark(f"{name}-{option}")
                self._buttons[option] = button
        self.set(value)

    def set(self, value: T) -> None:
        """Show another value, as if it had been chosen, without telling."""
        self.value = value
        for option, button in self._buttons.items():
            button.props(f'aria-checked="{str(option == value).lower()}"')

    def rename(self, words: Mapping[T, str]) -> None:
        for option, text in words.items():
            self._buttons[option].set_text(text)

    def _choose(self, option: T) -> None:
        if option != self.value:
            self.set(option)
            self._changed(option)


class Stepper:
    """A typed number with buttons beside it; arrows up and down in the box do the same."""

    def __init__(
        self,
        label: str,
        value: str,
        *,
        step: Callable[[str, int], str],
        changed: Callable[[str], None],
        entered: Callable[[], object],
        name: str,
    ) -> None:
        """`step` returns the text after so many steps; `entered` is called on Enter."""
        self.label = label
        self._step, self._changed = step, changed
        with ui.element("div").classes("v-field") as self.box:
            self._label = ui.label(label).classes("v-faint")
            with ui.element("div").classes("v-stepper"):
                self._button("remove", f"less: {label}", -1, f"{name}-less")
                self._input = ui.input(value=value, on_change=self._typed)
                self._input.props('dense outlined inputmode="decimal" autocomplete="off"')
                self._input._props["aria-label"] = label
                self._input.mark(name)
                self._input.on("keydown.up.prevent", lambda: self._move(1), [])
                self._input.on("keydown.down.prevent", lambda: self._move(-1), [])
                self._input.on("keydown.enter", lambda: entered(), [])
                self._button("add", f"more: {label}", 1, f"{name}-more")
            self.beside = ui.element("div").classes("v-beside")
            self.complaint = Complaint(name)

    @property
    def text(self) -> str:
        return self._input.value or ""

    def set(self, text: str) -> None:
        self._input.set_value(text)

    def rename(self, label: str) -> None:
        self.label = label
        self._label.set_text(label)
        self._input.props(f'aria-label="{label}"')

    def _typed(self, event: ValueChangeEventArguments[str | None]) -> None:
        self._changed(event.value or "")

    def _move(self, steps: int) -> None:
        self.set(self._step(self.text, steps))

    def _button(self, icon: str, words: str, steps: int, marker: str) -> None:
        button = ui.button(icon=icon, on_click=lambda: self._move(steps), color=None)
        button.props("flat dense").mark(marker)
        button._props["aria-label"] = words


def quick(words: str, act: Callable[[], None], marker: str) -> Element:
    """Return a small button that fills a field: LTP, Bid, Ask."""
    return (
        ui.button(words, on_click=act, color=None).props("flat dense no-caps").classes("v-quick")
    ).mark(marker)
