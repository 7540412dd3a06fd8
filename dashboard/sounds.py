"""The four short sounds; whether and how loud they are heard is the browser's own business."""

from nicegui.element import Element

from dashboard.alert_words import Sound


class Sounds(Element, component="components/sounds.js"):
    """Makes the sounds, and shows their switch; off until a person has switched them on."""

    def ring(self, sound: Sound, once: str) -> None:
        """Make a sound; of several tabs of a browser only one makes that of the same `once`."""
        self.run_method("ring", sound, once)
