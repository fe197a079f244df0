"""What the regions share that are found from scores or Grams: measured at once, or block by block."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.regions.base import Finder, Region, Witness
from harness.spec.region import AttributionSettings

if TYPE_CHECKING:
    from harness.models.editing import FoundRegion


class MeasuredRegion(Region):
    """A region with a `measure`, whose settings have `schedule` and `seed`."""

    @property
    def seed(self) -> int | None:
        """As declared."""
        return self.settings.seed

    def attribution(self, defaults: AttributionSettings) -> AttributionSettings:
        """Its own schedule, where it has one."""
        schedule = self.settings.schedule
        return defaults if schedule is None else defaults.model_copy(update={"schedule": schedule})

    def find(self, finder: Finder, witness: Witness | None) -> FoundRegion:
        """From what is measured."""
        return finder.from_measured(self, witness)

    def what(self) -> str:
        """Which weights or ranks it declares."""
        raise NotImplementedError(f"the region {self.settings.select} defines no `what`")

    def how(self, spec: Mapping[str, Any]) -> list[str]:
        """The settings that differ silently."""
        sets = self.settings.calibration_sets
        if not sets:
            return []
        sizes = {spec.get("calibration", {}).get(name, {}).get("samples") for name in sets} - {None}
        pairs = [f"{' and '.join(map(str, sorted(sizes)))} calibration pairs"] if sizes else []
        stepwise = self.attribution(AttributionSettings(**spec.get("attribution", {}))).schedule == "block_by_block"
        return [*pairs, "block by block" if stepwise else "all blocks scored on the intact model"]

    def words(self, spec: Mapping[str, Any]) -> str:
        """What it is, and how it is found."""
        how = self.how(spec)
        return self.what() + (f" ({', '.join(how)})" if how else "")
