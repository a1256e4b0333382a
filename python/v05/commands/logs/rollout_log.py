"""The rollout log of a training run as arrays, whatever trainer wrote it."""

import os
from array import array
from dataclasses import dataclass

import numpy as np

from .errors import LogError, UnknownFormat
from .evaluation import evaluation_rows
from .files import PART, log_files
from .groups import check_one_run, check_processes, groups_of_several, whole_rollouts
from .layout import listing
from .numbering import numbered
from .prompts import distinct_prompts, pictured_prompts, read_prompts
from .reader import LogReader
from .repetitions import are_copies, copied_files, repeated_lines
from .rewards import read_state, weigh
from .steps import FEW, begun_anew, check_step_field, first_steps, is_out_of_order

MOST_ROLLOUTS = 2**25
MANY = 32  # rollouts of one prompt at a step are more than is usual


@dataclass(frozen=True)
class RolloutLog:
    """Every scorable rollout of a log in time order. All arrays are (n,).

    name: path as the user gave it. formats: what was recognised, in words. files: the paths that were read.
    has_steps: whether the log tells steps. unscorable: rollouts without a reward, left out. repeated: rollouts that
    stand there more than once by mistake, left out. notes: sentences on what else a reader should know.
    prompt: int64, numbered from 0. visit: int64, which visit (a prompt at a step, or a group of its rollouts there).
    step: float64, of the visit; without steps in the log: which visit of its prompt. reward: float64, finite.
    prior: float64, NaN where the log has none. times: int64, how many equal rollouts an entry stands for.
    squared_norm: float64, of the rollout's score up to a factor, NaN where nothing is known of its tokens; told_by: the
    field that tells it, None where there is none.
    file: int32, index into files. line: int64, from 1. texts: of each prompt, by number, where asked for, else None.
    """

    name: str
    formats: tuple
    files: tuple
    has_steps: bool
    unscorable: int
    repeated: int
    notes: tuple
    prompt: np.ndarray
    visit: np.ndarray
    step: np.ndarray
    reward: np.ndarray
    prior: np.ndarray
    squared_norm: np.ndarray
    times: np.ndarray
    file: np.ndarray
    line: np.ndarray
    told_by: str | None
    texts: tuple | None

    def error(self, row, problem):
        """A `LogError` at the place of one rollout."""
        return LogError(self.files[self.file[row]], self.line[row], problem)


def read_log(path, *, fields=None, exclude=None, only_prompts=None, keep_evaluation=False, progress=None, texts=False):
    """Reads a log file, or all log files of a directory and below, into a `RolloutLog`.

    path: "-" is standard input. The format is recognised by content, gzip is unpacked on the way, and text is read line
        by line: of each rollout only numbers are kept, and with `texts` those of prompts.
    fields: `Fields`, in place of those that would be found. exclude, only_prompts: files of prompts that are not, or
    alone, to be read. keep_evaluation: rollouts of an evaluation beside the training count. progress(stage, done,
    total) hears of bytes. Raises LogError, or MissingExtra for a parquet file without pyarrow.
    """
    files, evaluations = log_files(path)
    notes = [f"{_some(evaluations)} not read, as evaluation."] if evaluations else []
    reader = LogReader(fields, progress, sum(file.size for file in files))
    columns = _Columns(texts)
    strangers, problem, largest = [], None, 0
    for number, file in enumerate(files):
        try:
            for layout, table, rollout in reader.read(file):
                columns.add(number, file, layout, table, rollout, reader.layouts[layout].asynchronous)
                if columns.total > MOST_ROLLOUTS:
                    raise LogError(
                        file.path, rollout.line, f"more than {MOST_ROLLOUTS:,} rollouts are not replayed; take a part"
                    )
        except UnknownFormat as error:
            strangers.append(file.path)
            if problem is None or file.size > largest:  # the largest file is most likely to be the log
                problem, largest = error, file.size
    if strangers and (len(strangers) == len(files) or not columns.total):
        raise problem
    if strangers:
        notes.append(f"{_some(strangers)} not read, as no log ({str(problem).partition(': ')[2]:.80}).")
    if reader.others:
        notes.append(f"Records with neither prompt nor reward are no rollouts: {reader.others}.")
    if reader.cut:
        notes.append(f"The last line of {_some_names(reader.cut)} is not whole and was left out: still being written?")
    return _finished(path, files, reader, columns, notes, exclude, only_prompts, keep_evaluation)


class _Columns:
    """The rollouts of a log as they are read, column by column."""

    KINDS = dict(
        prompt="q",
        answer="q",
        picture="q",
        group="q",
        step="d",
        epoch="d",
        advantage="d",
        prior="d",
        times="q",
        mark="q",
        squared_norm="d",
        evaluation="i",
        run="q",
        rollout="q",
        sample="q",
        by_name="i",
        file="i",
        line="q",
        layout="i",
        table="i",
    )

    def __init__(self, texts):
        self.total = 0  # rollouts
        self.codes = {}  # of prompts
        self.texts = [] if texts else None  # of prompts
        self.spellings = []  # of each prompt the first
        self.respelt = set()  # prompts that have several
        self.scores = {}  # of each layout, row after row
        self.names = {"": -1}  # of groups, answers, pictures, runs and rollouts
        self._columns = {name: array(kind) for name, kind in self.KINDS.items()}
        self._append = [column.append for column in self._columns.values()]

    def add(self, number, file, layout, table, rollout, asynchronous):
        """Adds one `Rollout` of the `LogFile` with this number."""
        code = self.codes.setdefault(rollout.prompt, len(self.codes))
        if self.texts is not None and code == len(self.texts):
            self.texts.append(rollout.text)
        spelling = hash(rollout.text)
        if code == len(self.spellings):
            self.spellings.append(spelling)
        elif self.spellings[code] != spelling:
            self.respelt.add(code)
        step = rollout.step
        by_name = step != step
        if by_name or asynchronous == "group" and file.step == file.step:
            step = file.step
        names = self.names
        row = (
            code,
            names.setdefault(rollout.answer, len(names)),
            names.setdefault(rollout.picture, len(names)),
            names.setdefault(rollout.group, len(names)),
            step,
            rollout.epoch,
            rollout.advantage,
            rollout.prior,
            rollout.times,
            rollout.mark,
            rollout.squared_norm,
            rollout.evaluation,
            names.setdefault(rollout.run, len(names)),
            names.setdefault(rollout.rollout, len(names)),
            names.setdefault(rollout.sample, len(names)),
            by_name,
            number,
            rollout.line or 0,
            layout,
            table,
        )
        for append, cell in zip(self._append, row):
            append(cell)
        if layout not in self.scores:
            self.scores[layout] = array("d")
        self.scores[layout].extend(rollout.rewards)
        self.total += rollout.times

    def arrays(self):
        return {name: np.array(column) for name, column in self._columns.items()}


def _finished(path, files, reader, columns, notes, exclude, only_prompts, keep_evaluation):
    """The `RolloutLog` of what was read."""
    names = tuple("standard input" if file.path == "-" else file.path for file in files)
    if not columns.total:
        cure = f"none of its {reader.padding} rows is a rollout" if reader.padding else "is it the right path?"
        cure = "--where leaves none" if reader.fields.where else cure
        if reader.unmet and reader.unwanted is not None:
            cure = f"no row has the field {min(reader.unmet)!r} of --where: found {listing(reader.unwanted)}"
        raise LogError(names[0] if len(names) == 1 else path, None, f"the log has no rollouts; {cure}")
    found = columns.arrays()
    found["asynchronous"] = np.array([layout.asynchronous for layout in reader.layouts])[found["layout"]]
    found["nameless"] = np.array([layout.nameless for layout in reader.layouts])[found["layout"]]
    missing, copied = np.isnan(found["step"]), False
    if missing.any() and not missing.all():
        if not found["by_name"].all():
            row = np.flatnonzero(missing)[0]
            raise LogError(
                names[found["file"][row]], found["line"][row], "step is missing; give every rollout a step, or none"
            )
        found["step"], copied, said = _numbered_files(path, reader, columns, found, names)
        notes += said
        missing = np.isnan(found["step"])
    if columns.respelt:
        notes.append(
            f"{len(columns.respelt)} prompts stand there in several spellings (white space at the ends, Unicode) and "
            "count as one each."
        )
    found["group"], said = groups_of_several(found, reader.fields.group)
    notes += said
    found["text"] = found["prompt"]
    found["prompt"], texts, said = pictured_prompts(found, columns.texts, _beside(reader.layouts))
    notes += said
    check_processes(path, found, names)
    if missing.all() and is_out_of_order(found["prompt"], found["group"], found["file"]):
        raise LogError(
            path,
            None,
            "the rollouts of a prompt do not stand together, and no step or group tells which are of one visit; name "
            "one by --step FIELD or --group FIELD, or, where a prompt has one visit, its own field by "
            f"--group {reader.layouts[0].prompt}",
        )
    found["step"] = first_steps(found)
    visit = numbered(found["step"], found["prompt"], found["group"])
    found["reward"], said = _rewards(path, names, reader.layouts, columns.scores, found, visit)
    notes += said
    repeated = repeated_lines(visit, found["reward"], found["mark"])
    copies, said = copied_files(found, names, missing.all())
    notes += said
    repeated |= copies | copied
    found = _rows(found, ~repeated)
    whole, said = whole_rollouts(found, names)
    notes += said
    found = _rows(found, whole)
    found, said = _wanted(found, columns.codes, exclude, only_prompts, keep_evaluation)
    notes += said
    scored = ~np.isnan(found["reward"])
    unscorable = int(found["times"][~scored].sum()) + reader.padding
    if not scored.any():
        problem = f"none of its {unscorable} rollouts has a reward" if unscorable else "no rollout is left"
        raise LogError(path, None, f"the log has no rollouts; {problem}")
    found = _rows(found, scored)
    check_step_field(path, found, reader.layouts, reader.fields)
    check_one_run(path, found, reader.run, columns.names, missing.all())
    if not missing.all():
        found["step"], said = begun_anew(found)
        notes += [said] if said else []
    prompt, texts, said = distinct_prompts(found, texts)
    notes += said
    notes += _one_prompt(found, prompt)
    visit = numbered(found["step"], prompt, found["group"])
    notes += _several_folders([file.folder for file in files], found["file"], visit) or _several_files(
        names, found["file"], visit
    )
    order = np.argsort(visit, kind="stable")
    return RolloutLog(
        name=names[0] if len(names) == 1 else str(path),
        formats=tuple(dict.fromkeys(layout.in_words() for layout in reader.layouts)),
        files=names,
        has_steps=not missing.all(),
        unscorable=unscorable,
        repeated=reader.repeated + int(repeated.sum()),
        notes=tuple(notes),
        prompt=prompt[order],
        visit=visit[order],
        told_by=_told_by(reader.layouts),
        texts=None if texts is None else tuple(texts),
        **{name: found[name][order] for name in ("step", "reward", "prior", "squared_norm", "times", "file", "line")},
    )


def _numbered_files(path, reader, columns, found, names):
    """((n,) step, (n,) whether a row is to be left out, sentences) where some files of a log have a step in their name
    and others have none: those that hold the rollouts of the others again are left out; else no name tells a step."""
    lacking = np.isnan(found["step"])
    step = np.where(lacking, np.inf, found["step"])
    visit = numbered(step, found["prompt"], found["group"])
    reward, _ = _rewards(path, names, reader.layouts, columns.scores, found, visit)
    if not are_copies(found, reward, lacking):
        return np.full(len(step), np.nan), np.zeros(len(step), bool), []
    files = [names[number] for number in np.unique(found["file"][lacking])]
    note = "not counted: no step in its name, and the rollouts are those of numbered files."
    return step, lacking, [f"{_some(files)} {note}"]


def _beside(layouts):
    """What belongs to prompts beside their text, in words."""
    return "input" if any("input" in layout.pictures for layout in layouts) else "image"


def _told_by(layouts):
    """The field that tells squared norms, where all layouts have the same."""
    fields = {layout.tokens for layout in layouts}
    return fields.pop() if len(fields) == 1 else None


def _rows(found, rows):
    return {name: column[rows] for name, column in found.items()}


def _rewards(path, names, layouts, scores, found, visit):
    """((n,) the reward of each row, sentences on where it comes from)."""
    reward, notes = np.empty(len(visit)), []
    state = read_state(path) if any(layout.weights is None for layout in layouts) else None
    for number, values in scores.items():
        layout, rows = layouts[number], np.flatnonzero(found["layout"] == number)
        columns = np.array(values).reshape(len(rows), len(layout.rewards))
        place = names[found["file"][rows[0]]], found["line"][rows[0]] or None
        weights, said = weigh(layout, columns, found["advantage"][rows], visit[rows], state, place)
        columns = columns[:, weights != 0]
        sums = np.nan_to_num(columns) @ weights[weights != 0]
        reward[rows] = np.where(np.isnan(columns).all(axis=1), np.nan, sums)
        notes += [said] if said and said not in notes else []
    return reward, notes


def _wanted(found, codes, exclude, only_prompts, keep_evaluation):
    """(the rows that the options, and an evaluation beside the training, leave, sentences on what was left out)."""
    notes = []
    rows = found["evaluation"] == 1
    if rows.any() and not rows.all() and not keep_evaluation:
        notes.append(
            f"{np.count_nonzero(rows)} rollouts, which the log itself calls so, were left out as evaluation "
            "(--keep-evaluation counts them)."
        )
        found = _rows(found, ~rows)
    if not keep_evaluation:
        rows = evaluation_rows(found["prompt"], found["table"])
        if rows.any():
            notes.append(
                f"{np.count_nonzero(rows)} rollouts of {len(np.unique(found['prompt'][rows]))} prompts, which stand "
                f"at the end of tables only, were left out as evaluation (--keep-evaluation counts them)."
            )
            found = _rows(found, ~rows)
    for option, path, wanted in (("--exclude", exclude, False), ("--only-prompts", only_prompts, True)):
        if path is not None:
            keys = read_prompts(path)
            named = np.array([code for key, code in codes.items() if key in keys], np.int64)
            rows = np.isin(found["text"], named) == wanted
            notes.append(f"{np.count_nonzero(~rows)} rollouts were left out by {option}.")
            found = _rows(found, rows)
    return found, notes


def _one_prompt(found, prompt):
    """A sentence where a step has one prompt for all its many rollouts, at most steps."""
    step = found["step"]
    _, rollouts = np.unique(step, return_counts=True)
    _, first = np.unique(numbered(step, prompt), return_index=True)
    _, prompts = np.unique(step[first], return_counts=True)
    if len(prompts) < 2 or np.median(rollouts) < MANY or np.median(prompts) > 1 or (found["group"] >= 0).any():
        return []
    return [
        f"All {np.median(rollouts):.0f} rollouts of a step have the same prompt: if they are of several, name a field "
        f"that tells them apart by --prompt or --group."
    ]


def _several_folders(folders, file, visit):
    """A sentence where the rollouts of many visits come from several folders."""
    if len(set(folders)) < 2:
        return []
    number = {folder: place for place, folder in enumerate(dict.fromkeys(folders))}
    folder = np.array([number[name] for name in folders])[file]
    _, first = np.unique(numbered(visit, folder), return_index=True)
    _, times = np.unique(visit[first], return_counts=True)
    if np.count_nonzero(times > 1) <= 0.1 * len(times):
        return []
    return [
        "Rollouts of one prompt and step come from several folders and count as one visit: if these are several runs, "
        "give the folder of one."
    ]


def _several_files(names, file, visit):
    """A sentence where files, which are no parts by their names, hold rollouts of the same visits."""
    _, first = np.unique(numbered(visit, file), return_index=True)
    _, place, times = np.unique(visit[first], return_inverse=True, return_counts=True)
    visits = np.bincount(file[first], minlength=len(names))
    shared = np.bincount(file[first], times[place] > 1, minlength=len(names))
    several = np.flatnonzero((visits >= FEW) & (shared > visits / 2))
    shown = [os.path.basename(names[number]) for number in several]
    more = f" and {len(shown) - 3} more" * (len(shown) > 3)
    if len(shown) < 2 or all(map(PART.search, shown)):
        return []
    return [
        f"{', '.join(shown[:3])}{more} hold rollouts of the same prompts and steps and are read as one run: if they "
        "are several runs, give the file of one."
    ]


def _some(paths):
    """Some of the files in words."""
    return f"{_some_names(paths)} was" if len(paths) == 1 else f"{_some_names(paths)}, were"


def _some_names(paths):
    return paths[0] if len(paths) == 1 else f"{len(paths)} files, such as {paths[0]}"
