"""Work through several inputs: progress, errors collected per file, one exit code at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from provenance.commands.support.console import complain, note, print_json, progress
from provenance.commands.support.paths import Input
from provenance.errors import ExitCode, VeilmarkError, combine

if TYPE_CHECKING:
    from concurrent.futures import Future

    from provenance.bulk.executor import Executor, Job

Outcome = tuple[ExitCode, Any]


def run_batch(
    label: str,
    inputs: Sequence[Input],
    work: Callable[[int, Input], Outcome],
    show: Callable[[Input, Any], None],
    *,
    as_json: bool,
    jobs: int = 1,
) -> ExitCode:
    """Call ``work(i, inputs[i])`` for each input, print each result in input order as soon as it can be.

    A :class:`VeilmarkError` of one input is printed (or becomes a JSON object with ``error``) and the others go
    on; so does a path that is no file (:attr:`Input.fault`). With one input its error's own exit code is returned;
    with several, :func:`provenance.errors.combine` decides, and inputs that failed for usage reasons count as
    partial success.

    Args:
        work: returns an exit code and a result for ``show``.
        jobs: worker threads; the heavy parts release the GIL.
    """
    if len(inputs) > 1:
        from provenance.commands.support.memory import keep_memory

        keep_memory()
    return _shown(label, inputs, lambda begin: _in_order(inputs, work, jobs, begin), show, as_json)


def run_bulk(
    label: str,
    inputs: Sequence[Input],
    executor: Executor,
    job: Job,
    task: Callable[[int, Input], Any],
    finish: Callable[[Sequence[tuple[int, Any]]], Sequence[Outcome | VeilmarkError]],
    show: Callable[[Input, Any], None],
    *,
    as_json: bool,
) -> ExitCode:
    """As :func:`run_batch`, with the work done by an executor's workers.

    Args:
        task: what a worker is given for an input; None where there is nothing to do: its result is then None.
        finish: what is made here of workers' results, each with its input's number; several that are ready together.
    """

    def pairs(_: Callable[[Input], None]) -> Iterable[tuple[Input, Outcome | VeilmarkError]]:
        tasks = [None if item.fault else task(index, item) for index, item in enumerate(inputs)]
        todo = [index for index, one in enumerate(tasks) if one is not None]
        given = place = 0
        for results in executor.results(job, [tasks[index] for index in todo]):
            numbers = todo[given : given + len(results)]
            given += len(results)
            good = [
                pair for pair in zip(numbers, results, strict=True) if not isinstance(pair[1], VeilmarkError)
            ]
            finished = dict(zip([number for number, _ in good], finish(good) if good else (), strict=True))
            for number, result in zip(numbers, results, strict=True):
                yield from _passed_over(inputs, range(place, number))
                yield inputs[number], finished.get(number, result)
                place = number + 1
        yield from _passed_over(inputs, range(place, len(inputs)))

    return _shown(label, inputs, pairs, show, as_json)


def _passed_over(inputs: Sequence[Input], numbers: range) -> Iterable[tuple[Input, Outcome | VeilmarkError]]:
    for number in numbers:
        yield inputs[number], inputs[number].fault or (ExitCode.OK, None)


def _shown(
    label: str,
    inputs: Sequence[Input],
    pairs: Callable[[Callable[[Input], None]], Iterable[tuple[Input, Outcome | VeilmarkError]]],
    show: Callable[[Input, Any], None],
    as_json: bool,
) -> ExitCode:
    codes: list[ExitCode] = []
    failed = 0
    with progress(label, len(inputs) if len(inputs) > 1 else None) as advance:

        def begin(item: Input) -> None:
            advance(0, f"{label} {item.path.name if not item.from_stdin else 'standard input'}")

        for item, outcome in pairs(begin):
            if isinstance(outcome, VeilmarkError):
                failed += 1
                codes.append(outcome.exit_code)
                if as_json:
                    print_error_json(item.shown, outcome)
                subject = None if len(inputs) == 1 or item.shown in str(outcome) else item.shown
                complain(str(outcome), outcome.hint, subject=subject)
            else:
                codes.append(outcome[0])
                show(item, outcome[1])
            advance(1, label)
    if failed and len(inputs) > 1:
        note(f"{failed} of {len(inputs)} inputs failed")
    if len(codes) == 1:
        return codes[0]
    return combine(ExitCode.PARTIAL if code == ExitCode.USAGE else code for code in codes)


def print_error_json(shown: str, error: VeilmarkError) -> None:
    """What could not be done with one input, as an object of the schema ``veilmark.error/1`` on stdout.

    Args:
        shown: the input as the person named it.
    """
    print_json(
        {
            "schema": "veilmark.error/1",
            "path": shown,
            "error": type(error).__name__,
            "message": str(error),
            "hint": error.hint,
            "exit_code": int(error.exit_code),
        }
    )


def _in_order(
    inputs: Sequence[Input],
    work: Callable[[int, Input], Outcome],
    jobs: int,
    begin: Callable[[Input], None],
) -> Iterable[tuple[Input, Outcome | VeilmarkError]]:
    def guarded(index: int, item: Input) -> Outcome | VeilmarkError:
        try:
            if item.fault is not None:
                raise item.fault
            begin(item)
            return work(index, item)
        except VeilmarkError as error:
            return error

    if jobs <= 1 or len(inputs) == 1:
        for index, item in enumerate(inputs):
            yield item, guarded(index, item)
        return
    from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

    # at most a few results wait, so that a folder of any size needs bounded memory
    window = jobs * 4
    with ThreadPoolExecutor(jobs) as pool:
        pending: dict[Future[Outcome | VeilmarkError], int] = {}
        ready: dict[int, Outcome | VeilmarkError] = {}
        submitted = shown = 0
        try:
            while shown < len(inputs):
                while submitted < len(inputs) and submitted - shown < window:
                    pending[pool.submit(guarded, submitted, inputs[submitted])] = submitted
                    submitted += 1
                if shown not in ready:
                    done, _ = wait(pending, return_when=FIRST_COMPLETED)
                    for future in done:
                        ready[pending.pop(future)] = future.result()
                while shown in ready:
                    yield inputs[shown], ready.pop(shown)
                    shown += 1
        finally:
            for future in pending:
                future.cancel()
