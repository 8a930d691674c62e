"""The module against a checkpoint that LACUNA_CHECKPOINT names (make ffi)."""

import gc
import os
import threading
import unittest

import lacuna
import numpy as np

CHECKPOINT = os.environ["LACUNA_CHECKPOINT"]


class Draws(unittest.TestCase):
    def setUp(self):
        self.closure = lacuna.Closure(CHECKPOINT)
        self.closure.seed(1, "rollout/0")
        n = self.closure.n
        self.w = np.sin(0.3 * np.arange(n))[:, None] + np.cos(0.2 * np.arange(n))[None, :]

    def test_draws_follow_the_stream_and_not_the_kind_of_array(self):
        first, second = self.closure.sample(self.w), self.closure.sample(self.w)
        self.assertEqual((first.shape, first.dtype), (self.w.shape, np.float64))
        self.assertTrue(np.isfinite(first).all() and (first != second).any())
        self.closure.seed(1, "rollout/0")
        np.testing.assert_array_equal(self.closure.sample(np.asfortranarray(self.w)), first)
        np.testing.assert_array_equal(self.closure.sample(self.w.tolist()), second)
        out = np.empty_like(self.w)
        self.closure.seed(1, "rollout/0")
        self.assertIs(self.closure.sample(self.w, out=out), out)
        np.testing.assert_array_equal(out, first)
        # x is axis 0: a transposed field is another flow.
        self.assertTrue((self.closure.mean(self.w.T) != self.closure.mean(self.w)).any())

    def test_mean_and_fluctuation_make_a_sample_to_round_off(self):
        sample, copy = self.closure, self.closure.copy()
        drawn = sample.sample(self.w)
        mean = copy.mean(self.w)
        parts = mean + copy.fluctuation(self.w, mean)
        # Another sampler may be behind a sample; its law is the same, and of a size with its mean.
        self.assertLess(np.abs(parts - drawn).mean(), 10 * np.abs(mean).mean())
        np.testing.assert_array_equal(copy.mean(self.w), mean)

    def test_misuse_is_told(self):
        n, w = self.closure.n, self.w
        wrong = w.copy()
        wrong[1, 2] = np.nan
        read_only = np.empty_like(w)
        read_only.flags.writeable = False
        for said, call in {
            "shape": lambda: self.closure.sample(w[1:]),
            "complex": lambda: self.closure.sample(w + 0j),
            "at (1, 2)": lambda: self.closure.sample(wrong),
            "`t`": lambda: self.closure.mean(w, np.inf),
            "float64": lambda: self.closure.sample(w, out=np.empty((n, n), "f4")),
            "contiguous": lambda: self.closure.sample(w, out=np.empty((n, n)).T),
            "writeable": lambda: self.closure.sample(w, out=read_only),
            "no part": lambda: self.closure.sample(w, out=w),
            "seed -1": lambda: self.closure.seed(-1, "a"),
            "nowhere": lambda: lacuna.Closure("nowhere.lacuna"),
        }.items():
            with self.subTest(said), self.assertRaises(lacuna.LacunaError) as told:
                call()
            self.assertIn(said, str(told.exception))
        with lacuna.Closure(CHECKPOINT) as closed:
            pass
        closed.close()
        with self.assertRaises(lacuna.LacunaError):
            closed.sample(w)

    def test_threads_with_a_copy_each_draw_as_alone(self):
        paths = [f"rollout/{member}" for member in range(3)]

        def draws(path, closure, into):
            closure.seed(1, path)
            into[path] = [closure.sample(self.w) for _ in range(5)]

        alone, together = {}, {}
        for path in paths:
            draws(path, self.closure, alone)
        threads = [threading.Thread(target=draws, args=(path, self.closure.copy(), together)) for path in paths]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for path in paths:
            np.testing.assert_array_equal(alone[path], together[path])
        gc.collect()


if __name__ == "__main__":
    unittest.main()
