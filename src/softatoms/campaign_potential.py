"""The potential that a campaign computes with, ready for its device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .errors import SoftatomsError
from .evaluation import check_device
from .potentials.registry import load_potential

if TYPE_CHECKING:
    from .config import CampaignConfig
    from .config.potential import PotentialSection
    from .potentials.base import Potential


def campaign_potential(
    config: CampaignConfig,
    *,
    model: Path | None,
    source: Path | str,
    own: PotentialSection | None = None,
    own_key: str = "",
) -> Potential:
    """Load what the section ``potential`` names, once the device is known to be there.

    Args:
        config: The campaign.
        model: Directory of the potential that the campaign trains, if that is to be used.
        source: File of the campaign, for messages.
        own: What a stage uses instead, if it says so.
        own_key: Where the stage says so, for messages.

    Raises:
        SoftatomsError: If the device is missing, the potential cannot be loaded, or the campaign
            trains it and no model is given.
    """
    key = "compute.device"
    try:
        check_device(config.compute.device)
        key = "potential" if own is None else own_key
        section = config.potential if own is None else own
        if not section.is_trained:
            return load_potential(section.name, **section.options)
        if model is None:
            raise SoftatomsError("is trained by the campaign: say where it is with --model")
        return load_potential(str(model))
    except SoftatomsError as error:
        raise SoftatomsError(f"{source}: {key}: {error}") from None
