"""Work for all cores."""

import threading
from collections.abc import Iterator

import pytest

from permsolve import cores
from permsolve.cores import LARGE, Threads, mapped


@pytest.mark.parametrize("entries", [0, LARGE])
def test_answers_keep_their_order(entries: int) -> None:
    """However many items there are; none is no special case."""
    for count in (0, 1, 40):
        assert list(mapped(lambda k: k * k, range(count), entries)) == [k * k for k in range(count)]


def test_only_large_work_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small work stays in the caller's thread, and so does all of it on one core."""
    monkeypatch.setattr(cores, "available_cores", lambda: 3)
    assert set(mapped(lambda _: threading.current_thread(), range(9), LARGE - 1)) == {threading.current_thread()}
    assert threading.current_thread() not in set(mapped(lambda _: threading.current_thread(), range(9), LARGE))
    monkeypatch.setattr(cores, "available_cores", lambda: 1)
    assert set(mapped(lambda _: threading.current_thread(), range(9), LARGE)) == {threading.current_thread()}


def test_items_are_taken_as_cores_get_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that blocks of a large file are never in memory all at once."""
    monkeypatch.setattr(cores, "available_cores", lambda: 2)
    taken = []

    def items() -> Iterator[int]:
        for item in range(20):
            taken.append(item)
            yield item

    for answer in mapped(lambda item: item, items(), LARGE):
        assert len(taken) <= answer + 4


@pytest.mark.parametrize("entries", [0, LARGE])
def test_the_first_error_is_raised(entries: int) -> None:
    """As it is."""

    def task(item: int) -> int:
        if item in (3, 4):
            raise ValueError(f"item {item}")
        return item

    with pytest.raises(ValueError, match="item 3"):
        list(mapped(task, range(9), entries))


@pytest.mark.parametrize("granted", [0, 1, 2])
def test_threads_that_are_not_granted_are_done_without(monkeypatch: pytest.MonkeyPatch, granted: int) -> None:
    """All work is done by those that there are, by the caller where there are none; errors come with the answers."""
    start = threading.Thread.start
    running: list[threading.Thread] = []

    def refused(thread: threading.Thread) -> None:
        if sum(each.is_alive() for each in running) >= granted:
            raise RuntimeError("can't start new thread")
        start(thread)
        running.append(thread)

    monkeypatch.setattr(threading.Thread, "start", refused)
    with Threads(4) as pool:
        tasks = [pool.submit(lambda k=k: (k, threading.current_thread())) for k in range(12)]
        failing = pool.submit(int, "seven")
        answers = [task.result() for task in tasks]
        with pytest.raises(ValueError, match="seven"):
            failing.result()
    assert [number for number, _ in answers] == list(range(12))
    workers = {thread for _, thread in answers}
    assert workers == {threading.current_thread()} if granted == 0 else len(workers) <= granted
