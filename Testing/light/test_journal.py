"""The journal: appended to, never changed; a changed one is noticed."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from SemiSupSegLib.errors import ProjectError
from SemiSupSegLib.project.journal import Journal


@pytest.fixture
def a_journal(tmp_path: Path) -> Journal:
    """Three entries."""
    journal = Journal(tmp_path / "journal.jsonl")
    for number in (1, 2, 3):
        journal.append(who="ann", action="accept", case=f"c{number}", label="Milz ä", detail={"voxels": number})
    return journal


def lines_of(journal: Journal) -> list[bytes]:
    return journal.path.read_bytes().splitlines(keepends=True)


def test_entries_come_back_in_order_with_ids_from_one(a_journal):
    assert [(e.id, e.case, e.detail) for e in a_journal.entries()] == [
        (1, "c1", {"voxels": 1}),
        (2, "c2", {"voxels": 2}),
        (3, "c3", {"voxels": 3}),
    ]
    assert a_journal.last() == a_journal.entries()[-1]
    assert a_journal.next_id() == 4
    assert a_journal.verify() is None


def test_a_journal_that_was_never_written_is_empty(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    assert (journal.entries(), journal.last(), journal.verify(), journal.next_id()) == ([], None, None, 1)


def test_appending_leaves_the_lines_before_as_they_were(a_journal):
    before = a_journal.path.read_bytes()
    a_journal.append(who="bob", action="flag")
    assert a_journal.path.read_bytes().startswith(before)


@pytest.mark.parametrize(
    "edit",
    [
        lambda line: line.replace(b'"ann"', b'"bob"'),
        lambda line: line.replace(b'"voxels":2', b'"voxels":9'),
        lambda line: line.replace(b"{", b"{ ", 1),
        lambda line: line.replace(b'"hash":"', b'"hash":"0'),
        lambda _: b"not JSON\n",
        lambda _: b"[1, 2]\n",
    ],
)
def test_g28_an_edited_line_is_found(a_journal, edit):
    lines = lines_of(a_journal)
    lines[1] = edit(lines[1])
    a_journal.path.write_bytes(b"".join(lines))
    assert a_journal.verify() == 2


def test_g28_a_line_rewritten_with_a_hash_of_its_own_breaks_the_next(a_journal, tmp_path):
    other = Journal(tmp_path / "other.jsonl")
    for entry in a_journal.entries()[:2]:
        other.append(who="mallory", action="accept", case=entry.case)
    lines = lines_of(a_journal)
    lines[0] = lines_of(other)[0]
    a_journal.path.write_bytes(b"".join(lines))
    assert a_journal.verify() == 2


@pytest.mark.parametrize(("kept", "broken"), [((1, 2), 1), ((0, 2), 2), ((1, 0, 2), 1)])
def test_g28_a_removed_or_moved_line_is_found(a_journal, kept, broken):
    lines = lines_of(a_journal)
    a_journal.path.write_bytes(b"".join(lines[n] for n in kept))
    assert a_journal.verify() == broken


def test_g28_a_journal_cut_at_its_end_is_found_by_what_the_cases_name(a_journal):
    a_journal.path.write_bytes(b"".join(lines_of(a_journal)[:2]))
    assert a_journal.verify() is None
    assert a_journal.verify(newest=3) == 3


@pytest.mark.resume
@pytest.mark.parametrize("left", [1, 40, -1])
def test_an_unfinished_last_line_is_no_entry_and_the_next_one_replaces_it(a_journal, left):
    lines = lines_of(a_journal)
    a_journal.path.write_bytes(b"".join(lines[:2]) + lines[2][:left])
    assert [e.id for e in a_journal.entries()] == [1, 2]
    assert a_journal.last().id == 2
    assert a_journal.verify() is None
    assert a_journal.append(who="ann", action="flag").id == 3
    assert [e.action for e in a_journal.entries()] == ["accept", "accept", "flag"]
    assert a_journal.verify() is None


@pytest.mark.resume
def test_an_unfinished_first_line_is_replaced(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.path.write_bytes(b'{"id":1')
    assert journal.last() is None
    assert journal.append(who="ann", action="flag").id == 1
    assert journal.verify() is None


def test_the_last_entry_is_found_when_lines_are_longer_than_what_is_read_at_once(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    for number in range(3):
        journal.append(who="ann", action="labels", detail={"added": [f"{number}" * 90_000]})
    assert journal.last().id == 3
    assert journal.last() == journal.entries()[-1]


@pytest.mark.robustness
def test_a_damaged_line_is_refused_with_its_number(a_journal):
    lines = lines_of(a_journal)
    a_journal.path.write_bytes(lines[0] + b"\x00\xff\n" + lines[2])
    with pytest.raises(ProjectError, match=r"journal.jsonl, line 2: expected a journal entry"):
        a_journal.entries()


@pytest.mark.robustness
def test_g06_a_full_disk_is_said_in_one_sentence_and_leaves_no_entry(a_journal, monkeypatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = a_journal.entries()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(ProjectError, match=r"journal.jsonl could not be written \(No space left on device\)"):
            a_journal.append(who="ann", action="flag")
    assert a_journal.verify() is None
    assert a_journal.entries() == before


def test_each_line_is_on_the_disk_before_append_returns(a_journal, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_size))
    a_journal.append(who="ann", action="flag")
    assert synced == [a_journal.path.stat().st_size]


def test_every_line_is_one_json_object_with_the_documented_keys(a_journal):
    for line in lines_of(a_journal):
        assert set(json.loads(line)) == {
            "id", "time", "who", "action", "case", "label", "detail", "generation", "content", "previous", "hash",
        }  # fmt: skip
