"""What a decision is made of: every fact the rules may read, and what of a decision is public.

Must never happen: a rule that reads something which is not stored with the decision.
"""

from __future__ import annotations

FACTS: dict[str, str] = {
    # who and which programme
    "programme": "text", "policy_hash": "text", "history_days": "number",
    # the silence (core/ladder)
    "behaviour": "text", "n": "number", "first_on": "date", "last_on": "date", "silence_days": "number",
    "threshold_days": "number", "threshold_2_days": "number", "threshold_3_days": "number", "overdue_days": "number",
    "nudge_days": "number", "return_probability": "number", "stop_probability": "number", "usual_gap_days": "number",
    "own_gap_days": "number", "population_gap_days": "number", "basis": "text", "fit_id": "text", "sentence": "text",
    "segment": "text", "tier": "number",
    # the cycle (core/journeys)
    "cycle_state": "text", "cycle_no": "number", "close_reason": "text", "opened_on": "date", "lapsed_on": "date",
    "anchored_on": "date", "cycle_threshold_days": "number", "step_offsets": "text", "step": "number",
    "step_due_on": "date", "ends_on": "date", "last_step_on": "date", "arm": "text",
    # permission and window
    "channel": "text", "permission": "text", "window": "text", "not_before_at": "instant", "expires_at": "instant",
    # limits
    "messages_day": "number", "messages_week": "number", "per_day": "number", "per_week": "number", "cost": "number",
    # wishes (the preference centre)
    "is_paused": "claim", "wants_fewer": "claim", "messages_month": "number", "is_under_review": "claim",
    # claims
    "has_activity": "claim", "is_overdue": "claim", "is_lapsed": "claim", "is_dormant": "claim",
    "is_cycle_ended": "claim", "is_cycle_limit_reached": "claim", "is_step_due": "claim", "is_step_missed": "claim",
    "is_ladder_done": "claim", "is_sunset_due": "claim", "is_history_short": "claim", "is_backlog": "claim",
    "is_admitted": "claim", "is_source_held": "claim", "is_stopped": "claim", "is_growth_held": "claim",
    "is_sunset_share_held": "claim", "is_sunset_tonight": "claim", "is_outvalued": "claim",
    "is_address_taken": "claim", "is_over_night_limit": "claim", "is_over_cost_limit": "claim",
    # Always there, so that it can stand last.
    "value": "number",
}  # fmt: skip
"""Every fact a decision is made of and stored with, and its kind."""

COLUMNS = (
    "customer_id", "as_of", "programme", "segment", "behaviour", "silence_days", "threshold_days",
    "return_probability", "step", "channel", "arm", "action", "reason", "policy_hash",
)  # fmt: skip
"""The public columns of a decision, in the order of INTERFACE."""
