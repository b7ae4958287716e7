"""What every value is: immutable, exact, and dated in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Base of every value: immutable, no unknown fields, field docstrings become descriptions."""

    # infinities and NaN are written as strings: JSON has no other way to bring them back, and a
    # log-probability of -inf must not make a record unreadable
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, ser_json_inf_nan="strings"
    )


def now() -> datetime:
    """The current time, in UTC."""
    return datetime.now(UTC)
