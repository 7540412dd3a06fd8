"""What holds for all tests."""

from hypothesis import settings

settings.register_profile("vigil", deadline=None)  # a machine's pause is no fault of ours
settings.load_profile("vigil")
