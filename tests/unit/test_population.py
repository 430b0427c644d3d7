"""The population's moments and stop probabilities on cases small enough for arithmetic in the test."""

import json
from datetime import date
from math import exp, log, sqrt

import numpy as np
import pytest
from rhythm_world import AS_OF, profiles

from winback.core.population import PopulationFit, Recalibration, band_of, fit, rhythm_of


def test_bands_are_1_2_3_4to5_6to9_10to19_20plus():
    n = np.array([1, 2, 3, 4, 5, 6, 9, 10, 19, 20, 5000])
    assert band_of(n).tolist() == [0, 1, 2, 3, 3, 4, 4, 5, 5, 6, 6]


def test_moments_of_two_customers():
    # a: ln gaps 2 and 4 away from each other; b: one gap
    frame = profiles({"a": [10, 40], "b": [20]})
    found = fit(frame, behaviour="purchase", as_of=AS_OF)
    sigma2 = 2 * log(2) ** 2 / 1  # gaps at ln 20 -+ ln 2; one degree of freedom
    weights = [1 / (sigma2 / 2 + 1), 1 / (sigma2 + 1)]
    own = [log(20), log(20)]
    assert found.sigma2 == pytest.approx(sigma2)
    assert found.mu0 == pytest.approx(sum(w * m for w, m in zip(weights, own, strict=True)) / sum(weights))
    assert found.tau2 == 0.05  # both means agree: the variance between would be negative
    assert found.kappa == pytest.approx(sigma2 / 0.05)
    assert (found.customers, found.gaps, found.nu0) == (2, 3, 4.0)


def test_the_mean_is_weighted_a_second_time_with_the_variance_between():
    frame = profiles({"a": [10, 40], "b": [200]})
    found = fit(frame, behaviour="purchase", as_of=AS_OF)
    sigma2 = 2 * log(2) ** 2
    rough_weights = np.array([1 / (sigma2 / 2 + 1), 1 / (sigma2 + 1)])
    own, noise = np.array([log(20), log(200)]), np.array([sigma2 / 2, sigma2])
    rough = np.average(own, weights=rough_weights)
    tau2 = max(0.05, np.average((own - rough) ** 2 - noise, weights=rough_weights))
    assert found.tau2 == pytest.approx(tau2)
    assert found.mu0 == pytest.approx(np.average(own, weights=1 / (noise + tau2)))


@pytest.mark.parametrize(
    ("gaps", "mu0", "sigma2", "tau2"),
    [({"a": [], "b": []}, log(90), 1.0, 1.0), ({"a": [7], "b": [7]}, log(7), 1.0, 0.05), ({}, log(90), 1.0, 1.0)],
)
def test_fallbacks_without_gaps_or_without_repeated_gaps(gaps, mu0, sigma2, tau2):
    found = fit(profiles(gaps), behaviour="purchase", as_of=AS_OF)
    assert (found.mu0, found.sigma2, found.tau2) == pytest.approx((mu0, sigma2, tau2))


def test_clockwork_customers_keep_the_smallest_variances():
    found = fit(profiles({"a": [7] * 5, "b": [7] * 5}), behaviour="purchase", as_of=AS_OF)
    assert (found.sigma2, found.tau2) == (0.05, 0.05)


def test_stop_probabilities_by_expectation_maximisation():
    frame = profiles({"a": [30, 30], "b": [30], "c": []}, silence_days=60)
    found = fit(frame, behaviour="purchase", as_of=AS_OF)
    survival = rhythm_of(frame, fit=found).survival(60)
    # Events in band n = 1: one of each customer; n = 2: of a and b; n = 3: of a. Only the last of each is open.
    below = 0.5
    for band, (rows, open_survival) in enumerate([(3, survival[2]), (2, survival[1]), (1, survival[0])]):
        q = 0.3
        for _ in range(60):
            q = (q / (q + (1 - q) * open_survival) + 0.5 * below) / (rows + 0.5)
        assert found.stop[band] == pytest.approx(q)
        below = q
    assert found.stop[3:] == (below,) * 4  # nobody got there: the band below speaks


def test_sixty_rounds_even_where_the_answer_is_still_moving():
    frame = profiles({f"{customer:02d}": [] for customer in range(40)}, silence_days=5)
    found = fit(frame, behaviour="purchase", as_of=AS_OF)
    survival, q = rhythm_of(frame, fit=found).survival(5)[0], 0.3
    for _ in range(60):
        q = (40 * q / (q + (1 - q) * survival) + 0.25) / 40.5
    assert found.stop[0] == pytest.approx(q, rel=1e-12)


def test_without_customers_everyone_stops_with_the_starting_value():
    assert fit(profiles({}), behaviour="purchase", as_of=AS_OF).stop == (0.3,) * 7


@pytest.mark.parametrize(
    ("customers", "gaps", "history_days", "quality"),
    [
        (100, 50, 180, "fitted"),
        (100, 50, 179, "too_little"),
        (99, 500, 400, "fitted_small"),
        (100, 49, 400, "fitted_small"),
        (30, 15, 180, "fitted_small"),
        (29, 500, 400, "too_little"),
        (30, 14, 400, "too_little"),
    ],
)
def test_quality(customers, gaps, history_days, quality):
    base = fit(profiles({}), behaviour="purchase", as_of=AS_OF)
    values = base.__dict__ | {"customers": customers, "gaps": gaps, "history_days": history_days}
    assert PopulationFit(**values).quality == quality
    assert PopulationFit(**values).quality_for(1000) == "too_little"


def test_the_document_survives_json_and_its_name_says_what_is_in_it():
    base = fit(profiles({"a": [10, 40], "b": [200]}), behaviour="purchase", as_of=AS_OF, fitted_on=date(2026, 11, 2))
    layer = Recalibration(90, 0.5, (1.0, 0.1, -0.2, 0.0), (0.0, 3.0, 1.0, 3.5), (1.0, 1.0, 0.5, 0.4), 4000)
    full = PopulationFit(**(base.__dict__ | {"recalibration": layer, "season_helps": True}))
    for document in (base, full):
        assert PopulationFit.from_json(document.to_json()) == document
        assert PopulationFit.from_json(document.to_json()).fit_id == document.fit_id
    assert len(base.fit_id) == 16
    assert base.fit_id != full.fit_id
    assert base.fitted_on == date(2026, 11, 2)


def test_months_and_rates_are_shares_of_active_days():
    found = fit(profiles({"a": [10, 10], "b": []}, silence_days=1), behaviour="purchase", as_of=AS_OF)
    # a on 11, 21 and 31 October, b on 31 October
    assert found.month_shares[9] == 1
    assert (found.rate_per_day, found.rate_variance, found.rate_span_days) == (pytest.approx(0.1), 0, 20)


def test_first_gaps_are_counted_once_a_customer():
    found = fit(profiles({"a": [10, 40], "b": [20], "c": []}), behaviour="purchase", as_of=AS_OF)
    assert found.first_gaps == 2
    assert found.first_gap_mean == pytest.approx((log(10) + log(20)) / 2)
    assert found.first_gap_variance == pytest.approx(2 * (log(2) / 2) ** 2 / 1)  # one degree of freedom
    assert found.first_gap_days(0.5) == pytest.approx(sqrt(10 * 20))
    assert found.first_gap_days(0.75) == pytest.approx(sqrt(10 * 20) * exp(0.67449 * log(2) / sqrt(2)))


@pytest.mark.parametrize(("gaps", "count"), [({}, 0), ({"a": []}, 0), ({"a": [7, 9], "b": []}, 1)])
def test_a_single_first_gap_has_no_spread(gaps, count):
    found = fit(profiles(gaps), behaviour="purchase", as_of=AS_OF)
    assert (found.first_gaps, found.first_gap_mean, found.first_gap_variance) == (count, 0, 0)


@pytest.mark.parametrize(("customers", "is_enough"), [(49, False), (50, True)])
def test_fifty_first_gaps_are_enough(customers, is_enough):
    found = fit(profiles({f"{one}": [7, 7] for one in range(customers)}), behaviour="purchase", as_of=AS_OF)
    assert found.knows_first_gaps == is_enough


def test_a_document_written_before_first_gaps_were_known_still_reads():
    values = json.loads(fit(profiles({"a": [10, 40], "b": [20]}), behaviour="purchase", as_of=AS_OF).to_json())
    older = {name: value for name, value in values.items() if not name.startswith("first_gap")}
    assert not PopulationFit.from_json(json.dumps(older)).knows_first_gaps


def test_other_behaviours_are_not_looked_at():
    frame = profiles({"a": [10, 40]}, behaviour="visit")
    assert fit(frame, behaviour="purchase", as_of=AS_OF).customers == 0
