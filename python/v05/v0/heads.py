"""In-context classifiers: labelled features of a context, features of queries, log-odds of success.

A head is a callable  head(context, labels, queries) -> log_odds  on torch tensors: context (c, d) and queries (q, d)
are features, labels (c,) are 0 and 1 with both present, log_odds (q,). TabPFNHead and KernelHead are differentiable in
the features; a ClassifierHead is not, and cannot be trained through.
"""

from collections.abc import Callable
from dataclasses import replace
from inspect import signature
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal, TypeGuard

import numpy as np
import torch

from .._core.types import FilePath
from ..errors import ArgumentTypeError, InvalidArgument, MissingExtra

NAMES = ("tabpfn", "kernel")
Head = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
#: What `make_head` takes.
NamedHead = Literal["tabpfn", "kernel"] | Head | Callable[[], Any]


class TabPFNHead:
    """The official head: TabPFN, a transformer trained to classify tables from context (arXiv 2511.08667).

    model: file of a TabPFN classifier, officially tabpfn-v2.5-classifier-v2.5_default.ckpt; never downloaded.
    estimators: members of the ensemble, which see the features in other orders; their logits are averaged.

    As in the official model, the features go in without tabpfn's usual preprocessing, which has no gradient, and every
    estimator sees all of them. TabPFN's weights stay as they are. In float32.
    """

    def __init__(self, model: FilePath | None, *, estimators: int = 4, device: str | torch.device = "cpu") -> None:
        try:
            from tabpfn import TabPFNClassifier
        except ImportError as error:
            raise MissingExtra("head='tabpfn'", "value-model") from error
        if model is None or not Path(model).is_file():
            raise InvalidArgument(f"tabpfn_model must be the file of a TabPFN classifier, got {model!r}")
        self._ready = False
        self._classifier = TabPFNClassifier(
            model_path=str(Path(model).resolve()),
            n_estimators=estimators,
            device=str(device),
            random_state=0,
            inference_precision=torch.float32,
            differentiable_input=True,
            ignore_pretraining_limits=True,
        )

    def __call__(self, context: torch.Tensor, labels: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
        if not self._ready:
            self._first_fit(context, labels)
        self._classifier.fit_with_differentiable_input(context, labels)
        # Inference mode only names tabpfn's code path here: with differentiable input it keeps gradients.
        logits = self._classifier.forward(queries, use_inference_mode=True, return_logits=True)
        return logits[:, 1] - logits[:, 0]

    def _first_fit(self, context, labels):
        """Loads the weights and lets every estimator see every feature, as tabpfn did when the official model was made.

        Recent versions show it 500 and have no option for it, but later fits use what the first has set up.
        """
        vars(self._classifier).pop("models_", None)  # of one that has failed in between
        try:
            self._classifier.fit_with_differentiable_input(context, labels)
        except torch.OutOfMemoryError:
            raise
        except (UnpicklingError, RuntimeError, KeyError) as error:
            raise InvalidArgument(f"tabpfn_model must be the file of a TabPFN classifier: {error}") from error
        for model in self._classifier.models_:
            model.requires_grad_(False)
        # Twice, as tabpfn adds features of its own, which count.
        limit = 2 * context.shape[1]
        self._classifier.ensemble_configs_ = [
            replace(one, preprocess_config=replace(one.preprocess_config, max_features_per_estimator=limit))
            for one in self._classifier.ensemble_configs_
        ]
        self._ready = True


class KernelHead:
    """Kernel ridge regression of the labels, a stand-in where TabPFN's weights are absent. Not the official head.

        k(a, b) = exp(-|a - b|^2 / (2 l)),   l = mean of |a - b|^2 over pairs of the context
        g       = k(queries, context) (k(context, context) + ridge I)^-1 (labels - share)
        log_odds = log(share / (1 - share)) + g / (share (1 - share))

    share is that of label 1 in the context. The log-odds are those of the probability share + g to first order in g.
    It has no parameters: all that it can learn lies in the features. ridge: noise of the labels, > 0.
    """

    def __init__(self, ridge: float = 1.0) -> None:
        self.ridge = ridge

    def __call__(self, context: torch.Tensor, labels: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
        labels = labels.to(context.dtype)
        share = labels.mean()
        between = _squared_distances(context, context)
        scale = between.mean().clamp_min(torch.finfo(context.dtype).tiny) * len(context) / max(len(context) - 1, 1)
        kernel = torch.exp(-between / (2 * scale)) + self.ridge * torch.eye(len(context)).to(context)
        weights = torch.linalg.solve(kernel, labels - share)
        gain = torch.exp(-_squared_distances(queries, context) / (2 * scale)) @ weights
        return torch.logit(share) + gain / (share * (1 - share))


class ClassifierHead:
    """Any classifier of the scikit-learn kind. factory: a callable that makes a new one with fit and predict_proba."""

    def __init__(self, factory: Callable[..., Any]) -> None:
        if not callable(factory):
            raise ArgumentTypeError(
                f"head must be one of {', '.join(map(repr, NAMES))}, a head, or a callable that makes a classifier, "
                f"got {factory!r}"
            )
        self._factory = factory

    def __call__(self, context: torch.Tensor, labels: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled() and context.requires_grad:
            raise InvalidArgument("a scikit-learn classifier is not differentiable: use head 'tabpfn' or 'kernel'")
        classifier = self._factory()
        classifier.fit(context.cpu().numpy(), labels.cpu().numpy())
        success = list(classifier.classes_).index(1)
        probability = np.asarray(classifier.predict_proba(queries.cpu().numpy()), dtype=np.float64)[:, success]
        # Trees and neighbours say 0 and 1.
        return torch.logit(torch.as_tensor(probability), eps=1e-12).to(queries.device)


def make_head(
    head: NamedHead, tabpfn_model: FilePath | None = None, *, estimators: int = 4, device: str | torch.device = "cpu"
) -> Head:
    """The head that a user names: "tabpfn", "kernel", a head, or a callable that makes a scikit-learn classifier."""
    if _is_head(head):
        return head
    if head == "tabpfn":
        return TabPFNHead(tabpfn_model, estimators=estimators, device=device)
    if head == "kernel":
        return KernelHead()
    return ClassifierHead(head)


def _is_head(given: Any) -> TypeGuard[Head]:
    """Whether it can be called with context, labels and queries, as no factory can."""
    if not callable(given) or isinstance(given, type):
        return False
    try:
        signature(given).bind(None, None, None)
    except (TypeError, ValueError):
        return False
    return True


def _squared_distances(rows, columns):
    """(r, c), by products: torch.cdist has no gradient where two rows are equal."""
    squares = (rows**2).sum(dim=1)[:, None] + (columns**2).sum(dim=1)[None, :] - 2 * rows @ columns.T
    return squares.clamp_min(0)
