"""Where a source is: learning it from a database of binaural cues, and telling it of a recording."""

from localization.localizer import Localizer, Location
from localization.unlike_training import UnlikeTrainingWarning

__all__ = ["Localizer", "Location", "UnlikeTrainingWarning"]
