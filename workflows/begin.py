"""The first job of a submitted campaign."""

from __future__ import annotations

from typing import Any

from jobflow.core.job import job

from genmat.campaign import Campaign
from genmat.database.documents import CampaignState
from genmat.errors import DatabaseError, GenmatError
from workflows.session import current_store
from workflows.submission import submit_next


@job(name="begin")
def begin_job(campaign: str) -> dict[str, Any]:
    """Check whether a campaign can be done at all, and submit its first chunks; return how many.

    Parameters
    ----------
    campaign
        Name of a stored campaign. If its target, generator or potential cannot be used it fails at once, with the
        reason, and not after retries.
    """
    from workflows.run import create_campaign

    store = current_store()
    document = store.campaigns.require(campaign)
    try:
        create_campaign(store, Campaign.from_dict(document.config, source=f"campaign {campaign!r}"))
    except DatabaseError:
        raise
    except GenmatError as err:
        store.campaigns.set_state(campaign, CampaignState.FAILED, error=" ".join(str(err).split()))
        return {"campaign": campaign, "submitted": 0}
    return {"campaign": campaign, "submitted": submit_next(store, campaign)}
