"""The ways to a person, one file each: it defines `create(settings) -> Channel | None`."""
