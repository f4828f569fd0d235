"""The share of each stage in a build by one process.

The functions that make up a stage are wrapped so as to look at the clock, here and not in the library; what
runs inside another stage counts for itself alone.

- reading: recordings and their sums from the disk (a synthetic source makes them up), for the plan and clips
- planning: the rest of the plan, the draw of a scene, and where a noise is loud enough
- rendering: convolution with the responses of head and room
- mixing: scaling and adding
- cues: `CueFormat.cues`
- storing: shards, manifest, view
- other: all the rest

`stage_seconds` is the one function.
"""

from __future__ import annotations

from collections import defaultdict
from functools import wraps
from pathlib import Path
from time import perf_counter
from typing import Any

import database.build
import database.mixing
import database.rendering
from binaural_feature import CueFormat
from database.recipe import Recipe
from database.sources import Source


class _Clock:
    """Seconds in stages."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._entered = ["other"]
        self._since = perf_counter()

    def look(self) -> None:
        """Count the time since the last look for the stage that it was spent in."""
        now = perf_counter()
        self.seconds[self._entered[-1]] += now - self._since
        self._since = now

    def watch(self, stage: str, owner: Any, *names: str) -> None:
        """Count what the functions of these names in a module or class do for this stage."""
        for name in names:
            setattr(owner, name, self._counted(stage, getattr(owner, name)))

    def _counted(self, stage: str, function: Any) -> Any:
        @wraps(function)
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.look()
            self._entered.append(stage)
            try:
                return function(*args, **kwargs)
            finally:
                self.look()
                self._entered.pop()

        return counted


def stage_seconds(folder: Path, recipe: Recipe, speech: Source, noise: Source) -> dict[str, float]:
    """Build in this process, and return the seconds of each stage.

    The wrappers stay: call it in a process that ends afterwards.
    """
    clock = _Clock()
    for source in {type(speech), type(noise)}:
        clock.watch("reading", source, "read", "checksum")
    clock.watch("reading", database.rendering.Scratch, "array")
    clock.watch("planning", database.build, "draw_plan")
    clock.watch("planning", database.rendering, "draw_scene", "loud_starts")
    clock.watch("rendering", database.mixing, "render")
    clock.watch("rendering", database.rendering, "room_responses")
    clock.watch("mixing", database.rendering, "mix")
    clock.watch("cues", CueFormat, "cues")
    clock.watch("storing", database.rendering, "write_shard")
    clock.watch("storing", database.build, "write_plan", "append_manifest", "write_rejects", "write_view")
    database.build.build(folder, recipe, speech, noise, n_workers=0, progress=False)
    clock.look()
    return dict(clock.seconds)
