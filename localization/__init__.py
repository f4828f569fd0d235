"""Where a source is: learning it from a database of binaural cues, and telling it of a recording."""

from localization.localizer import Localizer, Location

__all__ = ["Localizer", "Location"]
