"""Proves that the judge of stories can fail: a peak, an uneven rate, and a prediction that is exceeded."""

import pathlib
import sys
import tempfile
import types
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import curves  # noqa: E402
from stories import STORIES  # noqa: E402


def story(**more):
    return types.SimpleNamespace(**{"target": 1000, "capacity": 100, "offered": 0, "seconds": 10, "event_s": 0,
                                    "steady": ((0, 5), (5, 10)), "notes": ["as told"], **more})


def flat(**more):
    """Ten seconds at the target."""
    rows = [curves.Row(second, 1000, 100, 100) for second in range(1, 11)]
    for name, (second, value) in more.items():
        setattr(rows[second - 1], name, value)
    return rows


class Figures(unittest.TestCase):
    def test_nothing_of_a_flat_curve(self):
        self.assertEqual(curves.figures(story(), flat()), {"overshoot": 0.0, "ripple": 0.0})

    def test_a_peak_counts_on_its_side_of_the_event(self):
        found = curves.figures(story(event_s=5), flat(lag=(6, 1300)))
        self.assertEqual((found["overshoot before"], round(found["overshoot after"])), (0.0, 30))

    def test_a_lag_below_the_target_is_no_overshoot(self):
        self.assertEqual(curves.overshoot([curves.Row(1, 10, 0, 0)], 1000, 0, 1), 0.0)

    def test_ripple_is_the_deviation_in_percent_of_the_capacity(self):
        self.assertAlmostEqual(curves.figures(story(), flat(admitted=(3, 200)))["ripple"], 28.28, places=2)

    def test_another_level_in_another_window_is_no_ripple(self):
        rows = [curves.Row(second, 1000, 100 if second <= 5 else 200, 100) for second in range(1, 11)]
        self.assertEqual(curves.figures(story(), rows)["ripple"], 0.0)


class Allowed(unittest.TestCase):
    def test_the_larger_of_half_more_and_ten_points(self):
        self.assertEqual([curves.allowed(predicted) for predicted in (0, 4, 20, 60)], [10, 14, 30, 90])


class Scenarios(unittest.TestCase):
    def test_the_simulator_is_given_the_same_figures(self):
        text = pathlib.Path(__file__).resolve().parents[2].joinpath("sim/scenarios/kafka.yaml").read_text()
        for one in STORIES:
            scenario = text.split(f"- name: {one.name}\n")[1].split("- name: ")[0]
            load = f"rate: {one.offered / 1000:g}k/s" if one.offered else "unlimited: true"
            each = one.capacity / one.consumers
            for figure in (f"length: {one.seconds:g}s", f"target: {one.target / 1000:g}k, limit: {one.limit / 1000:g}k",
                           f"partitions: {one.partitions}", f"producers: {one.producers}, demand: {{{load}}}",
                           f"rate: {each:g}/s" if each < 1000 else f"rate: {each / 1000:g}k/s",
                           f"commit: {one.commit_s:g}s", *([] if one.through else ["commits: false"])):
                self.assertIn(figure, scenario, one.name)


class File(unittest.TestCase):
    def test_what_was_written_is_read(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "a" / "b.csv"
            curves.write(path, story(), flat(lag=(6, 1300)))
            self.assertEqual(curves.read(path), flat(lag=(6, 1300)))


if __name__ == "__main__":
    unittest.main()
