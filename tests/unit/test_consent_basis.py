"""Feeds call the same basis by many names; what proves nothing is refused."""

from datetime import UTC, datetime

import pandas as pd
import pytest

from winback.core.row_rules import check_consents

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def checked(basis: str):
    row = {
        "row_number": 1, "customer_id": "a", "channel": "email", "purpose": "marketing", "status": "granted",
        "basis": basis, "recorded_at": "2026-01-01T00:00:00Z", "source": "shop", "wording": "v1",
    }  # fmt: skip
    frame = pd.DataFrame([row]).astype({name: "str" for name in row if name != "row_number"})
    return check_consents(frame, zone=None, now=NOW, unread_at=NOW)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("express", "express"),
        ("Opt-In", "express"),
        ("explicit consent", "express"),
        ("double optin", "double_opt_in"),
        ("soft opt-in", "soft_optin"),
        ("purchase", "purchase"),
        ("PEWC", "pewc"),
    ],
)
def test_a_basis_is_known_by_its_usual_names(written: str, meant: str) -> None:
    assert checked(written).rows["basis"].tolist() == [meant]


@pytest.mark.parametrize("written", ["hearsay", "yes", "1", "bought list"])
def test_a_basis_that_proves_nothing_is_refused(written: str) -> None:
    result = checked(written)
    assert result.rows.empty
    assert result.faults["rule"].tolist() == ["basis_unknown"]
