"""Compares priors on a rollout log or on files of scores: how well they predict, and what baselines they make."""

import warnings
from dataclasses import asdict, dataclass, replace

import numpy as np

from ..._core.rules import RULES as FACTS
from ...errors import InvalidArgument
from ...priors.encoders import make_encoder
from ...priors.heads import HEADS
from ...priors.in_context_prior import InContextPrior
from ..json_text import plain
from ..logs import fields_of
from ..replay.report import compare
from ..replay.scoring import score
from ..replay.visits import Setting, check_sampling, walk
from .cases import cases_of_log, cases_of_scores
from .quality import qualities

RULES = ("grpo", "v05", "calibrated", "mixture")
CONSTANT = "constant of the context"


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found. `as_dict()` is ready for JSON.

    name, kind: of the data, "log" or "scores". visits, prompts, contexts: how many. rollouts: mean of a visit.
    qualities: a v05.commands.prior_evaluation.quality.Quality of each prior.
    baselines: {prior: v05.commands.replay.Row of each rule and number of rollouts}.
    notes: what a reader should know.
    """

    name: str
    kind: str
    visits: int
    prompts: int
    contexts: int
    rollouts: float
    reward_range: tuple
    qualities: tuple
    baselines: dict
    notes: tuple

    def as_dict(self):
        content = {name: getattr(self, name) for name in self.__dataclass_fields__}
        content["qualities"] = [asdict(quality) for quality in self.qualities]
        content["baselines"] = {prior: [asdict(row) for row in rows] for prior, rows in self.baselines.items()}
        return plain(content)


def evaluate(
    log=None,
    *,
    context=None,
    query=None,
    prompts=None,
    reward_range=None,
    reward=(),
    prompt=None,
    group=None,
    step=None,
    where=(),
    exclude=None,
    only_prompts=None,
    keep_evaluation=False,
    only_visits=None,
    score_rollouts=None,
    folds=None,
    encoder=None,
    heads=tuple(HEADS),
    rollouts=(2, 4, 8),
    discount=None,
    context_size=None,
    refits=None,
    splits=8,
    seed=0,
    progress=None,
):
    """Compares priors and returns an Evaluation. Give either a log or a context.

    log: a rollout log as for v05.replay. At each step the priors know all rollouts of the steps before: the logged
        prior if there is one, the history, a context buffer of `context_size` (None: 256) prompts (renewed at most
        `refits` times, None: 40),
        and history with that context for first visits.
    context, query: files of scores as in v05.v0.scores; each query is predicted from the context of its model and step.
        Without query, `folds` (None: 8) parts of each context are predicted from its rest. prompts: file of the texts.
    score_rollouts: rollouts a score is the mean of; None: the fewest that fit the scores.
    reward_range: (lo, hi); None: detected in a log, -1 to 1 in files of scores. reward, prompt, group, step, where,
        exclude, only_prompts, keep_evaluation: of a log, as for v05.replay.
    only_visits: (first, last) from 1: judge by these visits of each prompt of a log, earlier ones are known; (1, 1):
        first visits.
    encoder: a sentence-transformers model or a function of prompts, compared with TF-IDF under the first head; None:
        none.
    heads: of InContextPrior.
    rollouts: numbers of rollouts that baselines are made from. Each baseline is judged, without bias, by the other
        rollouts of the visit (see v05.commands.replay.scoring.score), over `splits` random splits.
    discount: of the history; None: 0.8. seed: of splits and bootstrap. progress: called with (stage, done, total).

    Raises LogError or InvalidArgument for data that cannot be used.
    """
    check_sampling(splits, seed)
    progress = progress or (lambda stage, done, total: None)
    if (log is None) == (context is None):
        raise InvalidArgument(f"give either a log or a context, got log={log!r}, context={context!r}")
    of_scores = {"query": query, "prompts": prompts, "score_rollouts": score_rollouts, "folds": folds}
    of_log = {"reward": reward, "prompt": prompt, "group": group, "step": step, "where": where, "exclude": exclude}
    of_log |= {"only_prompts": only_prompts, "keep_evaluation": keep_evaluation, "only_visits": only_visits}
    of_log |= {"context_size": context_size, "refits": refits, "discount": discount}
    for name, value in (of_scores if log is not None else of_log).items():
        if value is not None and value is not False and value != () and value != []:  # it would be passed over
            needed = "a context of scores, not a log" if log is not None else "a log, not a context of scores"
            raise InvalidArgument(f"{name} is an option for {needed}, got {value!r:.100}")
    if query is not None and folds is not None:
        raise InvalidArgument(
            f"folds is for contexts without query, which are judged by parts of their own, got {folds!r}"
        )
    discount = 0.8 if discount is None else discount
    if not rollouts or min(rollouts) < 1:
        raise InvalidArgument(f"rollouts must be one or more numbers of at least 1, got {list(rollouts)!r:.100}")
    unknown = [head for head in heads if head not in HEADS]
    if unknown or not heads:
        raise InvalidArgument(f"heads must be one or more of {', '.join(HEADS)}, got {', '.join(unknown) or 'none'}")
    # A name that is none is told before the log is read.
    encoded = None if encoder is None else make_encoder(encoder)
    if log is not None:
        cases = cases_of_log(
            log,
            reward_range=reward_range,
            only_visits=only_visits,
            context_size=256 if context_size is None else context_size,
            refits=40 if refits is None else refits,
            progress=progress,
            fields=fields_of(reward, prompt, group, step, where),
            exclude=exclude,
            only_prompts=only_prompts,
            keep_evaluation=keep_evaluation,
        )
    else:
        cases = cases_of_scores(
            context,
            query,
            prompts=prompts,
            reward_range=reward_range,
            rollouts=score_rollouts,
            folds=8 if folds is None else folds,
        )
    values, notes = _predictions(cases, encoder, encoded, heads, discount, progress)
    notes = [*cases.notes, *notes]
    visits, values = cases.visits.only_asked(), {name: value[cases.visits.asked] for name, value in values.items()}
    values = {name: value for name, value in values.items() if not np.isnan(value).all()}
    if not values:
        because = "; ".join(notes) or "nothing was visited twice"
        raise InvalidArgument(f"{cases.name}: no prior has a value for any visit: {because}")
    most = int(visits.count.max()) - 2
    sizes = [size for size in sorted(set(rollouts)) if 1 <= size <= most]
    if len(sizes) < len(set(rollouts)):
        made = f"baselines are made from at most {most} rollouts" if most > 0 else "no baselines are made"
        notes.append(f"{made}: two more are needed to judge them, and visits have {most + 2} at most")
    found = tuple(qualities(visits, values, cases.reward_range, baseline=CONSTANT, seed=seed, progress=progress))
    rules = RULES
    if not np.isin(visits.reward, cases.reward_range).all():
        rules = tuple(rule for rule in RULES if not FACTS[rule].two_valued)
        left_out = ", ".join(f'"{rule}"' for rule in RULES if rule not in rules)
        notes.append(f"{left_out} is left out: it is for rewards that are each an end of the reward range")
    baselines = {}
    for name, value in values.items():
        setting = Setting(
            reward_range=cases.reward_range,
            prior="logged",
            splits=splits,
            seed=seed,
            progress=lambda stage, done, total, name=name: progress(f"baselines with {name}, {stage}", done, total),
        )
        rows = []
        for size in sizes:
            scores = score(replace(visits, logged_prior=value), setting, size, rules)
            rows += compare(scores, visits.prompt[scores.visit], seed=seed)
        baselines[name] = tuple(rows)
    return Evaluation(
        name=cases.name,
        kind=cases.kind,
        visits=len(visits.count),
        prompts=len(np.unique(visits.prompt)),
        contexts=len(visits.batches) - 1,
        rollouts=float(visits.count.mean()),
        reward_range=cases.reward_range,
        qualities=found,
        baselines=baselines,
        notes=tuple(notes),
    )


def _predictions(cases, encoder, encoded, heads, discount, progress):
    """({name of a prior: (v,) its values}, notes)."""
    values, notes = {}, []
    if cases.texts is None:
        notes.append("the log names its prompts by number, so nothing can be predicted from their text")
    else:
        values[CONSTANT] = _constant(cases)
        models = {f"TF-IDF, {head}": ("tfidf", head) for head in heads}
        if encoder is not None:
            models[f"{encoder if isinstance(encoder, str) else 'embedding'}, {heads[0]}"] = encoded, heads[0]
        for name, (given, head) in models.items():
            values[name], problems = _in_context(
                cases, InContextPrior(given, head, reward_range=cases.reward_range), name, progress
            )
            notes += [problem for problem in problems if problem not in notes]
    if cases.kind == "log":
        if not np.isnan(cases.visits.logged_prior).all():
            values["logged"] = cases.visits.logged_prior
        setting = Setting(reward_range=cases.reward_range, discount=discount)
        values["history"] = np.concatenate([prior for _, prior in walk(cases.visits, setting)])
        if cases.texts is not None and not np.isnan(values["history"]).all():
            guess = values[f"TF-IDF, {heads[0]}"]
            values["history, else TF-IDF"] = np.where(np.isnan(values["history"]), guess, values["history"])
    return values, notes


def _constant(cases):
    """The mean score of each visit's context, over all parts where contexts are predicted in parts: the mean of the
    rest of a part is low where the part's own scores are high, which would order the parts the wrong way round."""
    rest = np.full(len(cases.texts), np.nan)
    for episode in cases.episodes:
        if len(episode.scores):
            rest[episode.rows] = episode.scores.mean()
    batches, known = cases.visits.batches, ~np.isnan(rest)
    total, count = (np.add.reduceat(each, batches[:-1]) for each in (np.where(known, rest, 0.0), known.astype(float)))
    with np.errstate(invalid="ignore"):
        return np.repeat(total / count, np.diff(batches))


def _in_context(cases, model, name, progress):
    """(values, problems) of an in-context prior over all episodes."""
    values, problems = np.full(len(cases.texts), np.nan), {}
    for number, episode in enumerate(cases.episodes):
        progress(f"predicting: {name}", number, len(cases.episodes))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                model.fit(episode.prompts, episode.scores)
                values[episode.rows] = model.predict([cases.texts[row] for row in episode.rows])[0]
            except InvalidArgument as error:
                if len(episode.scores):  # before the first step of a log there is none, and nothing to tell
                    problems[f"some contexts cannot be used: {error}"] = True
        for warning in caught:
            told = str(warning.message)
            problems[f"some contexts are short: {told}" if told.startswith("a context of ") else told] = True
    return values, list(problems)
