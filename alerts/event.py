"""By what a receiver tells a second copy of a message from a message that is new."""

from hashlib import blake2s

from trading.health import Alert


def event_id(alert: Alert) -> str:
    """Return what a second copy has in common with the first, in whatever database file.

    While the disk refuses, no alert has a number yet: what it is about tells it from others then.
    """
    return f"{alert.name if alert.id else _matter(alert)}-{alert.at:%Y%m%dT%H%M%S}"


def _matter(alert: Alert) -> str:
    said = (alert.once,) if alert.once else (alert.key, alert.occasion, alert.title)
    return blake2s("\n".join(said).encode(errors="replace"), digest_size=6).hexdigest()
