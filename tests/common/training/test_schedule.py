from types import SimpleNamespace

import pytest

from common.training.schedule import TimeBudget, WarmupCosine, build_schedule


def test_the_rate_climbs_then_falls_to_its_floor():
    schedule = WarmupCosine(peak_rate=2.0, total_steps=110, warmup_steps=10, end_fraction=0.1)
    rates = [float(schedule(step)) for step in range(115)]
    assert rates[0] == pytest.approx(0.2) and max(rates) == rates[9] == rates[10] == pytest.approx(2.0)
    assert rates[60] == pytest.approx((2.0 + 0.2) / 2, rel=1e-5)  # halfway down
    assert rates[110:] == pytest.approx([0.2] * 5) and rates[10:111] == sorted(rates[10:111], reverse=True)


def test_warm_up_and_floor_are_those_of_the_settings():
    config = SimpleNamespace(learning_rate=2.0, warmup_steps=10)
    for floor in (0.0, 0.25):
        schedule = build_schedule(config, total_steps=100)
        assert [float(schedule(step)) for step in (0, 9, 100)] == pytest.approx([0.2, 2.0, 2.0 * floor], abs=1e-6)
        config.learning_rate_floor = 0.25  # a setting that not every example has


def test_the_end_can_be_moved():
    schedule = WarmupCosine(1.0, 1000, warmup_steps=0)
    schedule.total_steps.assign(20)
    assert float(schedule(10)) == pytest.approx(0.5) and float(schedule(20)) == pytest.approx(0, abs=1e-7)


def test_a_short_run_spends_at_most_half_on_the_climb():
    assert float(WarmupCosine(1.0, 8, warmup_steps=100)(3)) == 1.0
    assert float(WarmupCosine(1.0, 1, warmup_steps=100)(0)) == 1.0


def test_the_plan_fits_the_time_and_does_not_count_compilation():
    budget = TimeBudget(deadline=130.0, max_steps=10_000, steps_per_epoch=1000)
    ends = [50.0, 51.0, *(51.0 + 0.5 * step for step in range(1, 25))]  # seconds; the first two steps were compiled
    decisions = [budget.steps_that_fit(now) for now in ends]
    assert decisions == [0] * 25 + [int(0.94 * (130 - 63) / 0.5)]


def test_the_plan_is_never_longer_than_the_run_and_never_empty():
    def decide(**budget):
        budget = TimeBudget(**budget, steps_per_epoch=1000)
        return [budget.steps_that_fit(float(now)) for now in range(26)][-1]

    assert decide(deadline=1e9, max_steps=100) == 74
    assert decide(deadline=5.0, max_steps=100) == 1


def test_a_step_that_compiles_another_shape_is_not_measured():
    budget, now = TimeBudget(1200.0, 10**6, 900), 0.0
    for step in range(26):
        now += 0.03 + 60 * (step in (0, 1, 15))
        more = budget.steps_that_fit(now)
    assert more == pytest.approx(0.94 * (1200 - now) / 0.03, rel=0.01)


def test_the_plan_leaves_time_for_the_ends_of_epochs():
    budget = TimeBudget(130.0, 10_000, steps_per_epoch=1000)
    for now in (50.0, 51.0, *(51.0 + 0.5 * step for step in range(1, 25))):
        budget.steps_that_fit(now)
    assert budget.end_epoch(10.0, 80.0) == int(0.94 * 50 / 0.51)


def test_the_end_of_an_epoch_is_no_part_of_a_step():
    budget, now = TimeBudget(1000.0, 10**6, steps_per_epoch=10), 0.0
    for step in range(26):
        if step in (10, 20):
            now += 5.0
            assert budget.end_epoch(5.0, now) == 0
        now += 1.0
        more = budget.steps_that_fit(now)
    assert more == int(0.94 * (1000 - now) / (1.0 + 5.0 / 10))


def test_no_step_is_planned_beyond_a_deadline_that_passes_while_measuring():
    budget = TimeBudget(15.0, 100, 50)
    assert [budget.steps_that_fit(now) for now in (10.0, 20.0)] == [0, 1]


def test_a_step_before_the_first_has_the_rate_of_the_first():
    schedule = WarmupCosine(2.0, 20, warmup_steps=4)
    schedule.first_step.assign(10)
    assert float(schedule(5)) == float(schedule(10)) > 0


def test_an_extension_starts_the_schedule_again():
    schedule, again = WarmupCosine(2.0, 20, warmup_steps=4), WarmupCosine(2.0, 50, warmup_steps=4)
    again.first_step.assign(30)
    assert [float(again(30 + step)) for step in range(25)] == [float(schedule(step)) for step in range(25)]
    assert float(again.cycle_steps) == 20
