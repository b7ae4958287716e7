"""Errors of the agent room. Each says what, where, and what to do about it."""

from __future__ import annotations


class NightSchoolError(Exception):
    """Base of everything the agent reports about itself."""


class ConfigError(NightSchoolError):
    """Settings or arguments that make no sense."""


class UsageError(NightSchoolError):
    """A request that cannot be carried out as asked: empty task, missing workspace, unknown episode."""


class ModelError(NightSchoolError):
    """A model that is unknown, not there, damaged, or that failed while running."""


class WeightsMissing(ModelError):
    """The weights of a known model are not in the cache yet."""


class HomeError(NightSchoolError):
    """The home folder cannot be used: read-only, full, owned, or of a newer version."""


class OwnerGone(HomeError):
    """The process that owned the home ended while it was being asked."""


class LearningError(NightSchoolError):
    """A night, a lesson or an adapter that cannot be worked with as asked."""
