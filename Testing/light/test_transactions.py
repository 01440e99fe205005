"""Changes of a case: all or nothing, journalled, undone to the byte."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from SemiSupSegLib.errors import ImageError, ProjectError
from SemiSupSegLib.project.annotation import Annotation, Region, RegionKind, State
from SemiSupSegLib.project.project import Project
from SemiSupSegLib.project.proposals import accept, flag, reject
from SemiSupSegLib.project.transactions import commit, undo

COMPLETE = Annotation(State.COMPLETE)
REPOSITORY = Path(__file__).parents[2]


def case_bytes(project: Project, case_id: str = "c1") -> bytes:
    return (project.cases_folder / case_id / "case.json").read_bytes()


def file_hashes(project: Project, case_id: str = "c1") -> dict[str, str]:
    """All files that the case points to, by name."""
    case = project.case(case_id)
    files = [case.image_file, case.labels_file, case.ignore_file, *case.strokes()]
    return {f: hashlib.sha256((case.folder / f).read_bytes()).hexdigest() for f in files if f}


def painted(project: Project, layers_of, box, spleen: slice):
    return layers_of(project.label_set, {"liver": box(slice(0, 2)), "spleen": box(spleen)})


def test_a_change_gives_a_new_generation_and_keeps_the_old_files(a_project, layers_of, box):
    before = a_project.case("c1")
    labels = painted(a_project, layers_of, box, slice(3, 4))
    after = commit(
        a_project, "c1", action="annotate", who="ann", label="spleen", annotations={"spleen": COMPLETE}, labels=labels
    )
    assert (before.generation, after.generation) == (1, 2)
    assert after.labels_file == "labels/0002.seg.nrrd"
    assert (after.folder / before.labels_file).is_file()
    np.testing.assert_array_equal(after.labels(a_project.label_set), labels)
    assert Project.open(a_project.root).case("c1") == after == a_project.case("c1")


def test_what_a_change_does_not_name_stays(a_project):
    before = a_project.case("c1")
    after = commit(a_project, "c1", action="annotate", who="ann", annotations={"spleen": Annotation(State.ABSENT)})
    assert after.annotations == {**before.annotations, "spleen": Annotation(State.ABSENT)}
    assert (after.labels_file, after.image_file, after.split) == (before.labels_file, before.image_file, before.split)


def test_every_change_is_journalled_with_who_what_and_both_states(a_project):
    commit(a_project, "c1", action="annotate", who="bob", label="spleen", detail={"state": "absent"},
           annotations={"spleen": Annotation(State.ABSENT)})  # fmt: skip
    added, changed = a_project.journal.entries()
    assert (added.action, added.generation, added.content[0]) == ("add", (0, 1), None)
    assert (changed.who, changed.action, changed.case, changed.label) == ("bob", "annotate", "c1", "spleen")
    assert changed.detail == {"state": "absent"}
    assert changed.generation == (1, 2)
    assert changed.content == (added.content[1], hashlib.sha256(case_bytes(a_project)).hexdigest())
    assert a_project.case("c1").entry == changed.id
    assert a_project.verify_journal() is None


def test_new_strokes_get_names_of_their_own_generation(a_project, box):
    region = Region(RegionKind.STROKES, file="mine")
    for k in (2, 3):
        said = a_project.case("c1").annotation("spleen")
        said = Annotation(State.PARTIAL, (*said.regions, region))
        commit(a_project, "c1", action="annotate", who="ann", annotations={"spleen": said}, strokes={"mine": box(k)})
    files = [r.file for r in a_project.case("c1").annotation("spleen").regions]
    assert files == ["regions/0002_0.nii.gz", "regions/0003_0.nii.gz"]
    known = a_project.case("c1").known(a_project.label_set)[1]
    np.testing.assert_array_equal(known, box(slice(0, 4)))


def test_an_ignore_mask_is_kept_and_removed(a_project, box):
    case = commit(a_project, "c1", action="annotate", who="ann", ignore=box(0))
    np.testing.assert_array_equal(case.ignore(), box(0))
    assert not case.known(a_project.label_set)[:, 0].any()
    case = commit(a_project, "c1", action="annotate", who="ann", ignore=np.zeros_like(box(0)))
    assert case.ignore() is None
    assert case.ignore_file is None


@pytest.mark.robustness
@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"heart": COMPLETE}, "no label 'heart' in this project: it has liver, spleen, tumour"),
        ({"Liver": COMPLETE}, "write the label as the project does, 'liver'"),
        ({"liver": Annotation(State.ABSENT)}, "liver cannot be absent while 40 voxels carry it"),
        ({"spleen": Annotation(State.PARTIAL, (Region(RegionKind.SLICES, ((2, 6),)),))}, "within 0:5, found 2:6"),
        ({"spleen": Annotation(State.PARTIAL, (Region(RegionKind.SLICES, ((3, 2),)),))}, "within 0:5, found 3:2"),
        ({"spleen": Annotation(State.PARTIAL, (Region(RegionKind.SLICES),))}, "at least one range"),
        ({"spleen": Annotation(State.PARTIAL, (Region(RegionKind.BOX, ((0, 1),)),))}, "a box needs 3 ranges"),
        ({"spleen": Annotation(State.PARTIAL, (Region(RegionKind.BOX, ((0, 1), (0, 5), (0, 1))),))}, "within 0:4"),
        ({"spleen": Annotation(State.PARTIAL, (Region(RegionKind.STROKES, file="regions/no"),))}, "is not in the case"),
        ({"spleen": Annotation(State.PARTIAL, (Region(RegionKind.STROKES),))}, "is not in the case"),
    ],
)
def test_a_statement_that_does_not_fit_changes_nothing(a_project, said, sentence):
    before = case_bytes(a_project)
    with pytest.raises(ProjectError, match=sentence):
        commit(a_project, "c1", action="annotate", who="ann", annotations=said)
    assert case_bytes(a_project) == before
    assert len(a_project.journal.entries()) == 1


@pytest.mark.robustness
def test_arrays_that_do_not_fit_the_image_are_refused(a_project, box):
    labels = a_project.case("c1").labels(a_project.label_set)
    for wrong in (labels[:, 1:], labels[:1], labels.astype(float)):
        with pytest.raises(ImageError, match="expected whole-number layers of shape"):
            commit(a_project, "c1", action="annotate", who="ann", labels=wrong)
    labels[0, 0, 0, 0] = 3
    with pytest.raises(ProjectError, match="layer 0 may hold 0 to 2, found 0 to 3"):
        commit(a_project, "c1", action="annotate", who="ann", labels=labels)
    for mask in (box(0)[1:], box(0).astype(np.uint8)):
        with pytest.raises(ImageError, match="expected a boolean volume"):
            commit(a_project, "c1", action="annotate", who="ann", ignore=mask)


@pytest.mark.robustness
def test_a_change_of_a_case_that_another_program_changed_is_refused_once(a_project):
    other = Project.open(a_project.root)
    commit(other, "c1", action="annotate", who="bob", annotations={"spleen": Annotation(State.ABSENT)})
    with pytest.raises(ProjectError, match="was changed by another program"):
        commit(a_project, "c1", action="annotate", who="ann", annotations={"tumour": Annotation(State.ABSENT)})
    assert a_project.case("c1") == other.case("c1"), "the newer state is shown"
    after = commit(a_project, "c1", action="annotate", who="ann", annotations={"tumour": Annotation(State.ABSENT)})
    assert set(after.annotations) == {"liver", "spleen", "tumour"}


# ---------------------------------------------------------------------------------------------------------------- undo


def test_g32_undo_restores_the_bytes_of_the_case_and_of_the_labels_it_points_to(a_project, predict, box):
    bytes_before, files_before = case_bytes(a_project), file_hashes(a_project)
    predict(a_project, "c1", {"spleen": box(slice(1, 5))})
    accept(a_project, "c1", "spleen", confident=0.5, who="ann")
    assert case_bytes(a_project) != bytes_before
    undo(a_project, who="ann")
    assert case_bytes(a_project) == bytes_before
    assert file_hashes(a_project) == files_before
    assert Project.open(a_project.root).case("c1") == a_project.case("c1")


def test_g32_twenty_five_changes_are_undone_one_by_one_across_restarts(a_project, add_case):
    add_case(a_project, "c2")
    states = [(case_bytes(a_project, "c1"), case_bytes(a_project, "c2"))]
    for n in range(25):
        said = Annotation(State.PARTIAL, (Region(RegionKind.SLICES, ((n % 6, n % 6),)),))
        commit(a_project, f"c{1 + n % 2}", action="annotate", who="ann", annotations={"spleen": said})
        states.append((case_bytes(a_project, "c1"), case_bytes(a_project, "c2")))
    states.pop()
    for n in range(25):
        project = Project.open(a_project.root)
        entry = undo(project, who="bob")
        assert (entry.action, entry.case, entry.who) == ("undo", f"c{1 + (24 - n) % 2}", "bob")
        assert (case_bytes(project, "c1"), case_bytes(project, "c2")) == states.pop()
    with pytest.raises(ProjectError, match="has nothing to undo"):
        undo(Project.open(a_project.root), who="bob")
    assert Project.open(a_project.root).verify_journal() is None


def test_after_an_undo_new_files_do_not_take_old_names(a_project, layers_of, box):
    first = painted(a_project, layers_of, box, slice(3, 4))
    second = painted(a_project, layers_of, box, slice(4, 6))
    taken_back = commit(a_project, "c1", action="annotate", who="ann", labels=first)
    undo(a_project, who="ann")
    case = commit(a_project, "c1", action="annotate", who="ann", labels=second)
    assert case.generation > taken_back.generation
    assert case.labels_file != taken_back.labels_file
    np.testing.assert_array_equal(taken_back.labels(a_project.label_set), first)
    undo(a_project, who="ann")
    with pytest.raises(ProjectError, match="nothing to undo"):
        undo(a_project, who="ann")


def test_reject_flag_and_split_are_undone_too(a_project, predict, box):
    predict(a_project, "c1", {"spleen": box(5), "tumour": box(0)})
    states = []
    for change in (
        lambda: reject(a_project, "c1", "spleen", who="ann"),
        lambda: flag(a_project, "c1", "tumour", who="ann"),
        lambda: commit(a_project, "c1", action="split", who="ann", split="holdout"),
    ):
        states.append(case_bytes(a_project))
        change()
    for action in ("split", "flag", "reject"):
        assert undo(a_project, who="ann").detail["action"] == action
        assert case_bytes(a_project) == states.pop()


def test_adding_a_case_is_not_undone_and_hides_no_earlier_change(a_project, add_case):
    before = case_bytes(a_project)
    commit(a_project, "c1", action="annotate", who="ann", annotations={"spleen": Annotation(State.ABSENT)})
    add_case(a_project, "c2")
    undo(a_project, who="ann")
    assert case_bytes(a_project) == before
    assert set(a_project.cases) == {"c1", "c2"}


@pytest.mark.robustness
def test_undo_is_refused_when_something_else_changed_the_case(a_project):
    commit(a_project, "c1", action="annotate", who="ann", label="spleen", annotations={"spleen": COMPLETE})
    file = a_project.cases_folder / "c1" / "case.json"
    file.write_bytes(file.read_bytes() + b"\n")
    with pytest.raises(ProjectError, match=r"cannot undo annotate of spleen in c1: .* changed by something else"):
        undo(Project.open(a_project.root), who="ann")


@pytest.mark.robustness
@pytest.mark.parametrize("damage", [lambda f: f.unlink(), lambda f: f.write_bytes(b"{}")])
def test_undo_is_refused_when_the_history_is_damaged(a_project, damage):
    commit(a_project, "c1", action="annotate", who="ann", annotations={"spleen": COMPLETE})
    now = case_bytes(a_project)
    damage(a_project.cases_folder / "c1" / "history" / "0001.json")
    with pytest.raises(ProjectError, match="missing from its history or was changed"):
        undo(a_project, who="ann")
    assert case_bytes(a_project) == now


def test_a_case_edited_by_hand_keeps_both_histories(a_project):
    file = a_project.cases_folder / "c1" / "case.json"
    original = file.read_bytes()
    commit(a_project, "c1", action="annotate", who="ann", annotations={"spleen": COMPLETE})
    undo(a_project, who="ann")
    edited = original.replace(b'"CT"', b'"MR"')
    file.write_bytes(edited)
    project = Project.open(a_project.root)
    commit(project, "c1", action="annotate", who="ann", annotations={"spleen": COMPLETE})
    undo(project, who="ann")
    assert case_bytes(project) == edited
    assert (file.parent / "history" / "0001.json").read_bytes() == original


# ------------------------------------------------------------------------------------------------- crash and full disk

KILLER = """
import os, shutil, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[4])
from SemiSupSegLib.project import images, labelmaps, transactions  # all imports before the fork
from SemiSupSegLib.project.project import Project
from SemiSupSegLib.project.proposals import accept

template, copies, verb = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]

def act(root):
    project = Project.open(root)
    if verb == "accept":
        accept(project, "c1", "spleen", confident=0.5, who="ann")
    elif verb == "undo":
        transactions.undo(project, who="ann")
    else:
        image = project.case("c1").image()
        project.add_case("c2", image, labels=None, annotations={}, modality="CT", who="ann")

def child(root, step):
    count = 0
    def stepping(function):
        def inner(*arguments, **options):
            nonlocal count
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)
            result = function(*arguments, **options)
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return result
        return inner
    for name in ("fsync", "replace", "mkdir"):
        setattr(os, name, stepping(getattr(os, name)))
    act(root)

step = 0
while True:
    step += 1
    root = copies / f"{step:03d}"
    shutil.copytree(template, root)
    pid = os.fork()
    if pid == 0:
        try:
            child(root, step)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    if os.WIFEXITED(status):
        sys.exit(os.WEXITSTATUS(status))
"""


def killed_at_every_step(project: Project, verb: str, folder: Path) -> list[Path]:
    """Copies of the project, each left by a process that was killed one step later; the last one finished."""
    folder.mkdir()
    arguments = [sys.executable, "-c", KILLER, str(project.root), str(folder), verb, str(REPOSITORY)]
    subprocess.run(arguments, check=True, timeout=200, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return sorted(folder.iterdir())


@pytest.mark.resume
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork to kill a process at every step in reasonable time")
def test_g04_an_accept_killed_at_any_step_leaves_the_old_or_the_new_state(a_project, predict, box, tmp_path):
    predict(a_project, "c1", {"spleen": box(slice(1, 5))})
    old_bytes, old = case_bytes(a_project), a_project.case("c1").labels(a_project.label_set)
    copies = killed_at_every_step(a_project, "accept", tmp_path / "killed")
    assert len(copies) > 12, "fewer steps than writing three files, the journal and the case takes"
    new = Project.open(copies[-1]).case("c1").labels(a_project.label_set)
    assert (new != old).any()
    seen = set()
    for copy in copies:
        project = Project.open(copy)
        case = project.case("c1")
        state = "old" if case_bytes(project) == old_bytes else "new"
        seen.add(state)
        np.testing.assert_array_equal(case.labels(project.label_set), old if state == "old" else new)
        assert case.annotation("spleen").state == ("unknown" if state == "old" else "partial")
        assert case.known(project.label_set)[1].sum() == (40 if state == "old" else 100)
        assert project.verify_journal() is None
        # and the work goes on
        if state == "old":
            accept(project, "c1", "spleen", confident=0.5, who="ann")
        undo(project, who="ann")
        assert case_bytes(project) == old_bytes
        assert project.verify_journal() is None
    assert seen == {"old", "new"}


@pytest.mark.resume
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork to kill a process at every step in reasonable time")
def test_g04_an_undo_killed_at_any_step_leaves_the_old_or_the_new_state(a_project, predict, box, tmp_path):
    first = case_bytes(a_project)
    predict(a_project, "c1", {"spleen": box(slice(1, 5))})
    accept(a_project, "c1", "spleen", who="ann")
    second = case_bytes(a_project)
    copies = killed_at_every_step(a_project, "undo", tmp_path / "killed")
    seen = set()
    for copy in copies:
        project = Project.open(copy)
        seen.add(case_bytes(project))
        if case_bytes(project) == second:
            undo(project, who="ann")
        assert case_bytes(project) == first
        assert project.verify_journal() is None
        with pytest.raises(ProjectError, match="nothing to undo"):
            undo(project, who="ann")
    assert seen == {first, second}


@pytest.mark.resume
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork to kill a process at every step in reasonable time")
def test_g04_a_case_whose_import_was_killed_is_there_or_can_be_added_again(a_project, add_case, tmp_path):
    copies = killed_at_every_step(a_project, "add", tmp_path / "killed")
    seen = set()
    for copy in copies:
        project = Project.open(copy)
        seen.add("c2" in project.cases)
        if "c2" not in project.cases:
            add_case(project, "c2")
        assert project.case("c2").grid() == project.case("c1").grid()
        assert project.verify_journal() is None
    assert seen == {False, True}


@pytest.mark.resume
def test_g04_an_intent_that_never_came_true_is_marked_when_the_project_opens(a_project):
    before = case_bytes(a_project)
    commit(a_project, "c1", action="annotate", who="ann", label="spleen", annotations={"spleen": COMPLETE})
    (a_project.cases_folder / "c1" / "case.json").write_bytes(before)
    project = Project.open(a_project.root)
    aborted = project.journal.last()
    assert (aborted.action, aborted.case, aborted.detail) == ("aborted", "c1", {"entry": 2})
    Project.open(a_project.root)
    assert len(project.journal.entries()) == 3, "once is enough"
    with pytest.raises(ProjectError, match="nothing to undo"):
        undo(project, who="ann")


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="finds the files behind handles in /proc")
def test_g03_files_are_written_beside_synced_and_then_replaced(a_project, monkeypatch, layers_of, box):
    calls = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(handle):
        calls.append(("fsync", Path(f"/proc/self/fd/{handle}").readlink()))
        real_fsync(handle)

    def replace(source, target):
        assert Path(source).parent == Path(target).parent
        calls.append(("replace", Path(target)))
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    commit(a_project, "c1", action="annotate", who="ann", labels=painted(a_project, layers_of, box, slice(3, 4)))
    replaced = [path.name for what, path in calls if what == "replace"]
    assert replaced == ["0002.seg.nrrd", "0001.json", "case.json"]
    for at, (what, path) in enumerate(calls):
        if what == "replace":
            assert calls[at - 1][0] == "fsync"
            assert calls[at + 1] == ("fsync", path.parent)
    order = [path.name for _, path in calls]
    assert order.index("journal.jsonl") < order.index("case.json"), "the intent is on the disk before it happens"


@pytest.mark.robustness
@pytest.mark.parametrize("fails_at", range(1, 8))
def test_g06_a_full_disk_during_a_change_leaves_the_old_or_the_new_state(
    a_project, monkeypatch, layers_of, box, fails_at
):
    before, count = case_bytes(a_project), 0
    real = os.fsync

    def fsync(handle):
        nonlocal count
        count += 1
        if count == fails_at:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    labels = painted(a_project, layers_of, box, slice(3, 4))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(ProjectError, match="No space left on device"):
            commit(a_project, "c1", action="annotate", who="ann", labels=labels)
    assert a_project.case("c1") == Project.open(a_project.root).case("c1"), "what is shown is what is on the disk"
    if fails_at < 7:  # the seventh is the sync of the folder, after case.json was replaced
        assert case_bytes(a_project) == before
    else:
        undo(a_project, who="ann")
    after = commit(a_project, "c1", action="annotate", who="ann", labels=labels)
    np.testing.assert_array_equal(after.labels(a_project.label_set), labels)
    assert a_project.verify_journal() is None
    undo(a_project, who="ann")
    assert case_bytes(a_project) == before


def test_the_history_holds_the_bytes_of_every_earlier_state(a_project):
    states = []
    for n in range(3):
        states.append(case_bytes(a_project))
        said = Annotation(State.PARTIAL, (Region(RegionKind.SLICES, ((n, n),)),))
        commit(a_project, "c1", action="annotate", who="ann", annotations={"spleen": said})
    history = a_project.cases_folder / "c1" / "history"
    assert [(history / f"{n:04d}.json").read_bytes() for n in (1, 2, 3)] == states
    assert json.loads(states[-1])["generation"] == 3


def test_an_older_copy_of_the_project_is_independent(a_project, tmp_path):
    shutil.copytree(a_project.root, tmp_path / "copy")
    commit(Project.open(tmp_path / "copy"), "c1", action="split", who="ann", split="holdout")
    assert Project.open(a_project.root).case("c1").split == "train"


@pytest.mark.robustness
def test_an_unknown_split_is_refused(a_project):
    with pytest.raises(ProjectError, match="one of the splits train, holdout, found 'test'"):
        commit(a_project, "c1", action="split", who="ann", split="test")
