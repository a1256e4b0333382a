"""Prompts to rows of numbers: an encoding that depends on the prompt alone and is kept, and a projection that is
fitted."""

from importlib.util import find_spec

import numpy as np

from .._core.arrays import to_numpy
from ..errors import ArgumentTypeError, InvalidArgument, MissingExtra

DIMENSIONS = 64
_HASHED_COLUMNS = 2**18


class TfidfEncoder:
    """Parts of words, of 1 to 5 characters, weighted by how rare they are in the context (TF-IDF), then their 64
    strongest joint directions there (latent semantic analysis). Needs no model and knows every script."""

    def __init__(self):
        from sklearn.feature_extraction.text import HashingVectorizer

        self._counter = HashingVectorizer(
            analyzer="char_wb",
            ngram_range=(1, 5),
            n_features=_HASHED_COLUMNS,
            alternate_sign=False,
            norm=None,
            dtype=np.float32,
        )

    def encode(self, prompts):
        """Counts of the parts of words: a sparse row per prompt."""
        counts = self._counter.transform(prompts)
        return [counts[row] for row in range(len(prompts))]

    def fit(self, rows):
        """The projection of rows, fitted on those of the context: a function to (n, d) rows of length 1."""
        from scipy.sparse import vstack
        from sklearn.feature_extraction.text import TfidfTransformer
        from sklearn.preprocessing import normalize

        counts = vstack(rows, format="csr")
        # What next to no other prompt has says nothing of it.
        shared = np.flatnonzero(np.bincount(counts.indices, minlength=_HASHED_COLUMNS) >= 3)
        if not len(shared):
            return lambda rows: np.zeros((len(rows), 1))
        weights = TfidfTransformer(sublinear_tf=True).fit(counts[:, shared])
        reduce = _reduction(weights.transform(counts[:, shared]))
        return lambda rows: normalize(reduce(weights.transform(vstack(rows, format="csr")[:, shared])))


class FunctionEncoder:
    """What a function of a list of n prompts gives: an (n, d) array, of which the 64 strongest directions are used."""

    def __init__(self, function):
        self._function = function
        self._width = None

    def encode(self, prompts):
        """A row per prompt, as float32. Raises InvalidArgument for another shape, NaN, or another width than before."""
        found = to_numpy(self._function(list(prompts)), "embeddings")
        if found.dtype.kind not in "fiu":
            raise ArgumentTypeError(f"embeddings must be numbers, got dtype {found.dtype}")
        if found.ndim != 2 or len(found) != len(prompts) or not found.shape[1]:
            raise InvalidArgument(
                f"embeddings must have shape ({len(prompts)}, d), one row a prompt, got {found.shape}"
            )
        if self._width not in (None, found.shape[1]):
            raise InvalidArgument(f"embeddings must keep their width, got {found.shape[1]} after {self._width}")
        with np.errstate(over="ignore"):
            rows = found.astype(np.float32)
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(bad):
            raise InvalidArgument(
                f"embeddings must be finite, got {found[bad[0]][~np.isfinite(rows[bad[0]])][0]} "
                f"for prompt {prompts[bad[0]]!r:.60}"
            )
        self._width = found.shape[1]
        return [row.copy() for row in rows]  # one that is kept would keep them all

    def fit(self, rows):
        """The projection of rows, fitted on those of the context: centred there, with mean square length 1."""
        context = np.stack(rows).astype(np.float64)
        centre = context.mean(axis=0)
        length = np.sqrt(np.mean(np.sum((context - centre) ** 2, axis=1))) or 1.0
        reduce = _reduction((context - centre) / length)
        return lambda rows: reduce((np.stack(rows) - centre) / length)


class _Sentences:
    """The embeddings of a sentence-transformers model; a function of its own could not be pickled."""

    def __init__(self, model):
        self._model = model

    def __call__(self, prompts):
        return self._model.encode(prompts, show_progress_bar=False)


def make_encoder(encoder):
    """
    "tfidf", the name or path of a sentence-transformers model, a function of a list of prompts to (n, d), or an
    encoder."""
    if isinstance(encoder, (TfidfEncoder, FunctionEncoder)):
        return encoder
    if encoder == "tfidf":
        return TfidfEncoder()
    if isinstance(encoder, str):
        if find_spec("sentence_transformers") is None:
            raise MissingExtra(f"the encoder {encoder!r}", "embeddings")
        from sentence_transformers import SentenceTransformer

        try:
            model = SentenceTransformer(encoder)
        except Exception as error:  # whatever the libraries raise for a name or a file that is none
            raise InvalidArgument(f"encoder cannot be loaded from {encoder!r}: {error}") from error
        return FunctionEncoder(_Sentences(model))
    if callable(encoder):
        return FunctionEncoder(encoder)
    raise ArgumentTypeError(
        f'encoder must be "tfidf", a sentence-transformers model or a function of prompts, got {encoder!r}'
    )


def _reduction(context):
    """A function to the DIMENSIONS strongest directions of the context's rows, dense; to all of them where there are
    few."""
    from sklearn.decomposition import TruncatedSVD

    most = min(DIMENSIONS, min(context.shape) - 1)
    if context.shape[1] <= DIMENSIONS or most < 1:
        return lambda rows: rows.toarray() if hasattr(rows, "toarray") else rows
    return TruncatedSVD(most, random_state=0).fit(context).transform
