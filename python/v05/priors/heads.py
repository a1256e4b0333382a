"""Regressions from features of prompts to their scores, in [0, 1], with the standard deviation of a prompt's score."""

import warnings
from typing import Any

import numpy as np

MOST_NEIGHBOURS = 64


class GaussianProcessHead:
    """Gaussian process with a Gaussian kernel and noise; all of its three numbers by marginal likelihood.

    The kernel's length is at least the median distance of a prompt of the context to the next one: what varies faster
    cannot be told from noise, though the likelihood of a few hundred prompts at times prefers it.
    """

    def fit(self, features, scores):
        from scipy.optimize import minimize
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

        def optimize(objective, start, bounds):
            # A bound on time; the likelihood is flat long before.
            found = minimize(objective, start, method="L-BFGS-B", jac=True, bounds=bounds, options={"maxfun": 24})
            return found.x, found.fun

        shortest = float(np.clip(np.median(_nearest(features, 1)[0]), 1e-2, 10.0))
        kernel = ConstantKernel(0.05, (1e-4, 1.0)) * RBF(max(1.0, shortest), (shortest, 30.0)) + WhiteKernel(
            0.1, (1e-4, 1.0)
        )
        self._mean = scores.mean()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a number at its bound is an answer
            self._process = GaussianProcessRegressor(kernel, optimizer=optimize).fit(features, scores - self._mean)
        return self

    def predict(self, features):
        value, deviation = self._process.predict(features, return_std=True)
        return self._mean + value, deviation


class RidgeHead:
    """Ridge regression; the penalty, and the deviation, which is the same for all prompts, by leaving each prompt
    out."""

    def fit(self, features, scores):
        from sklearn.linear_model import RidgeCV

        self._ridge = RidgeCV(np.logspace(-2, 4, 25), store_cv_results=True).fit(features, scores)
        self._deviation = np.sqrt(self._ridge.cv_results_.reshape(len(scores), -1).mean(axis=0).min())
        return self

    def predict(self, features):
        return self._ridge.predict(features), np.full(len(features), self._deviation)


class NeighboursHead:
    """Mean score of the nearest prompts; their number, and the deviation, the same for all prompts, by leaving each
    out."""

    def fit(self, features, scores):
        from sklearn.neighbors import KNeighborsRegressor

        most = min(MOST_NEIGHBOURS, len(scores) - 1)
        neighbours = scores[_nearest(features, most)[1]]
        left_out = np.cumsum(neighbours, axis=1) / np.arange(1, most + 1)
        errors = np.mean((left_out - scores[:, None]) ** 2, axis=0)
        self._regressor = KNeighborsRegressor(int(errors.argmin()) + 1).fit(features, scores)
        self._deviation = np.sqrt(errors.min())
        return self

    def predict(self, features):
        return self._regressor.predict(features), np.full(len(features), self._deviation)


HEADS: dict[str, Any] = {"gp": GaussianProcessHead, "ridge": RidgeHead, "knn": NeighboursHead}


def _nearest(features, count):
    """(distance, index) of the nearest other rows of each row: two (n, count) arrays."""
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=count).fit(features).kneighbors()
