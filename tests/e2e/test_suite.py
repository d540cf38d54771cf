"""Proves that a figure that fails twice fails, and that nothing but figures is taken twice."""

import contextlib
import importlib.util
import io
import pathlib
import sys
import tempfile
import types
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import harness  # noqa: E402

spec = importlib.util.spec_from_file_location("suite", HERE / "__main__.py")
suite = importlib.util.module_from_spec(spec)
spec.loader.exec_module(suite)

OPTIONS = types.SimpleNamespace(keep=False, strict=False, direct=False)


def judged(*runs):
    """(passed, failed, what was said) of a scenario whose runs end like this: "ok", "figure" or "fault" has failed."""
    clusters, left = [], list(runs)

    def scenario(context, cluster):
        how = left.pop(0)
        context.check("no record lost", how != "fault", "")
        context.measure("busy", how != "figure", f"run {len(runs) - len(left)}")
        clusters.append(cluster)
    said = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(said):
        harness.WORK, kept = pathlib.Path(folder), harness.WORK
        results = suite.run_batch([types.SimpleNamespace(name="x", run=scenario)], OPTIONS, "first", lambda: "fresh")
        harness.WORK = kept
        good, bad = suite.summary(results)
    return good, bad, clusters, said.getvalue()


class AgainTest(unittest.TestCase):
    def test_what_passes_runs_once(self):
        self.assertEqual(judged("ok")[:3], (2, 0, ["first"]))

    def test_a_figure_is_taken_once_more_on_another_cluster_and_both_are_told(self):
        good, bad, clusters, said = judged("figure", "ok")
        self.assertEqual((good, bad, clusters), (2, 0, ["first", "fresh"]))
        self.assertIn("MEASURED AGAIN, because at first: busy  run 1", said)

    def test_a_figure_that_fails_twice_has_failed(self):
        good, bad, clusters, said = judged("figure", "figure")
        self.assertEqual((good, bad, clusters), (1, 1, ["first", "fresh"]))
        self.assertIn("FAILED  busy  run 2", said)

    def test_a_fault_is_never_tried_again(self):
        self.assertEqual(judged("fault")[:3], (1, 1, ["first"]))

    def test_a_fault_in_the_second_run_fails(self):
        self.assertEqual(judged("figure", "fault")[:2], (1, 1))

    def test_bounds_of_quality_count_only_when_strict(self):
        for strict, failed in ((False, 0), (True, 1)):
            with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
                harness.WORK, kept = pathlib.Path(folder), harness.WORK
                context = harness.Context("x", types.SimpleNamespace(keep=False, strict=strict))
                context.quality("busy", False, "0.9")
                harness.WORK = kept
            self.assertEqual(sum(1 for _, passed, _ in context.checks if not passed), failed)


if __name__ == "__main__":
    unittest.main()
