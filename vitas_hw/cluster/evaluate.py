"""Evaluations spread over the workers of a Ray cluster, in the order of the jobs, though workers may be lost."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterator, Sequence

from vitas_hw.cluster.connection import Actor, Connection, Ticket
from vitas_hw.core.errors import VitasError
from vitas_hw.core.progress import Progress
from vitas_hw.searching.engine import Job, Scorer
from vitas_hw.searching.scores import Score

MOST_LOSSES = 3  # of a place or a job: then the fault is its own
_PATIENCE_S = 300.0  # for a first worker: loading everything on a cold disk
_AGAIN = "See: ray status. Repeat the command to resume."


class Examiner:
    """Evaluates where Ray puts it."""

    def __init__(self, scorer: Scorer, device: str) -> None:
        import torch

        if device == "cpu":
            torch.set_num_threads(1)  # one worker a CPU
        self._scorer = scorer.to(device)

    def ready(self) -> None:
        """Everything is loaded."""

    def score(self, job: Job) -> Score:
        return self._scorer(job)


class RayPool:
    """Places, each with one worker at a time: as many as the cluster has CPUs, or GPUs times their share.

    Args:
        cluster: connected.
        gpus: of each worker, a share or a whole number; 0 takes CPUs, None one GPU where the cluster has any.
        most: workers that can ever be busy.

    Raises:
        VitasError: the cluster has no such device.
    """

    def __init__(self, cluster: Connection, gpus: float | None, most: int) -> None:
        nodes = [node["Resources"] for node in cluster.nodes()]
        if gpus is None:
            gpus = 1.0 if any(has.get("GPU", 0) >= 1 for has in nodes) else 0.0
        self.device = "cuda" if gpus else "cpu"
        self._needs = {"num_cpus": 0, "num_gpus": gpus} if gpus else {"num_cpus": 1}
        room = sum(int(has.get("GPU", 0) / gpus + 1e-9) if gpus else int(has.get("CPU", 0)) for has in nodes)
        if not room:
            raise VitasError(f"No {'GPU' if gpus else 'CPU'} of the cluster is free to evaluate on.", "See: ray status")
        self.places = min(room, most)
        self._cluster = cluster
        self._scorer: Ticket = None
        self._workers: dict[int, Actor] = {}

    def load(self, scorer: Scorer) -> None:
        """Put what the workers score by (on the CPU) into the cluster."""
        self._scorer = self._cluster.put(scorer)

    def hire(self, place: int) -> Ticket:
        """A new worker at a place, instead of any that was there; the ticket is done once it can work."""
        if place in self._workers:
            self._cluster.end(self._workers[place])
        self._workers[place] = self._cluster.start(Examiner, self._scorer, self.device, **self._needs)
        return self._workers[place].ready.remote()

    def evaluate(self, place: int, job: Job) -> Ticket:
        """Start a job."""
        return self._workers[place].score.remote(job)

    def first_done(self, tickets: Collection[Ticket], timeout_s: float | None) -> Ticket | None:
        """Wait for any one; None if that takes too long."""
        return next(iter(self._cluster.done(tickets, timeout_s, first=True)), None)

    def result(self, ticket: Ticket) -> Score | str | None:
        """A job's score, None of a worker that can work, or a sentence that says why the worker is lost."""
        answer: Score | str | None = self._cluster.result(ticket)
        return answer


class SpreadEvaluate:
    """An ``Evaluate`` whose jobs run at once, as many as there are workers, and are yielded in their own order.

    A lost worker is replaced, and its job done anew.

    Args:
        pool: of workers; all of them start to load now.
        progress: told of losses.
    """

    def __init__(self, pool: RayPool, progress: Progress) -> None:
        self._pool, self._progress = pool, progress
        self._idle: deque[int] = deque()
        self._losses: Counter[int] = Counter()
        self._hiring = {pool.hire(place): place for place in range(pool.places)}

    def __call__(self, jobs: Sequence[Job]) -> Iterator[Score]:
        """Scores in the order of the jobs.

        Raises:
            VitasError: no worker is left, or a job has lost several.
        """
        waiting, found = deque(range(len(jobs))), dict[int, Score]()
        running: dict[Ticket, tuple[int, int]] = {}
        lost: Counter[int] = Counter()
        try:
            for row in range(len(jobs)):
                while row not in found:
                    while self._idle and waiting:
                        place, next_row = self._idle.popleft(), waiting.popleft()
                        running[self._pool.evaluate(place, jobs[next_row])] = place, next_row
                    ticket = self._first_done(running)
                    answer = self._pool.result(ticket)
                    if ticket in self._hiring:
                        hired = self._hiring.pop(ticket)
                        if answer is None:
                            self._idle.append(hired)
                        else:
                            self._lose(hired, answer)
                        continue
                    place, done = running.pop(ticket)
                    if isinstance(answer, Score):
                        found[done] = answer
                        self._idle.append(place)
                        continue
                    waiting.appendleft(done)
                    lost[done] += 1
                    if lost[done] == MOST_LOSSES:
                        raise VitasError(
                            f"One evaluation has ended {MOST_LOSSES} workers; the last one said: {answer}", _AGAIN
                        )
                    self._lose(place, answer)
                yield found.pop(row)
        finally:  # a search that stops in time: what still runs is done before the next job of its worker
            self._idle.extend(place for place, _ in running.values())

    def _first_done(self, running: Collection[Ticket]) -> Ticket:
        tickets = [*running, *self._hiring]
        if not tickets:
            raise VitasError("All workers are lost; what was evaluated is kept.", _AGAIN)
        ticket = self._pool.first_done(tickets, None if running else _PATIENCE_S)
        if ticket is None:
            raise VitasError(f"No worker was ready within {_PATIENCE_S:g} s; all of the cluster may be in use.", _AGAIN)
        return ticket

    def _lose(self, place: int, why: Score | str | None) -> None:
        self._losses[place] += 1
        again = self._losses[place] < MOST_LOSSES
        self._progress.note(
            f"warning: worker {place + 1} is lost{'; another takes its place' if again else ' for good'}: {why}"
        )
        if again:
            self._hiring[self._pool.hire(place)] = place
