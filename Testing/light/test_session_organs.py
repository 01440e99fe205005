"""The organ table: states, finished slices, what is painted, labels that come and change their names."""

from __future__ import annotations

import numpy as np
import pytest

from SemiSupSegLib.errors import ImageError, ProjectError
from SemiSupSegLib.project.annotation import Annotation, RegionKind, State
from SemiSupSegLib.project.project import Project
from SemiSupSegLib.session import Session


@pytest.fixture
def screen() -> dict[str, np.ndarray]:
    """What is painted on the screen, by label; tests fill it."""
    return {}


@pytest.fixture
def a_session(a_project: Project, screen) -> Session:
    """Shows case c1."""
    session = Session(who="ann", threads=False, painting=lambda case: dict(screen) if case == "c1" else None)
    session.open(a_project.root)
    session.show_case("c1")
    return session


def state(session: Session, label: str) -> State:
    return next(row.state for row in session.organ_rows() if row.name == label)


def test_a_click_goes_through_the_states_that_make_sense(a_session: Session) -> None:
    seen = []
    for _ in range(3):
        a_session.cycle("spleen")  # nothing is painted
        seen.append(state(a_session, "spleen"))
    assert seen == ["absent", "unknown", "absent"]
    a_session.cycle("liver")  # complete, and painted
    assert state(a_session, "liver") == "unknown"
    a_session.cycle("liver")
    assert state(a_session, "liver") == "complete"


def test_states_that_contradict_the_voxels_have_their_reason(a_session: Session) -> None:
    assert a_session.may_set_state("liver", State.ABSENT) == (
        "∅ liver: liver is painted in case c1: erase it before saying that it is absent"
    )
    assert "nothing is painted" in str(a_session.may_set_state("spleen", State.COMPLETE))
    assert "by its finished slices" in str(a_session.may_set_state("spleen", State.PARTIAL))
    with pytest.raises(ProjectError, match="erase it"):
        a_session.set_state("liver", State.ABSENT)


def test_what_is_on_the_screen_is_stored_with_the_state_and_undone_with_it(a_session, screen, box) -> None:
    screen["spleen"] = box(4)
    assert a_session.may_set_state("spleen", State.COMPLETE) is None
    a_session.set_state("spleen", State.COMPLETE)
    assert a_session.label_voxels()["spleen"].sum() == 20
    assert a_session.label_voxels()["liver"].sum() == 40  # was not on the screen
    screen.clear()
    a_session.undo()
    assert state(a_session, "spleen") == "unknown"
    assert not a_session.label_voxels()["spleen"].any()


def test_painting_is_stored_when_another_case_is_shown(a_session, screen, box, a_project, add_case) -> None:
    add_case(a_project, "c2")
    a_session.poll()
    screen["tumour"] = box(0, 0)
    a_session.show_case("c2")
    assert a_session.label_voxels("c1", ["tumour"])["tumour"].sum() == 4  # may lie in the liver
    assert Project.open(a_project.root).cases["c1"].generation == 2


def test_nothing_is_written_when_nothing_was_painted(a_session, screen) -> None:
    screen.update(a_session.label_voxels())
    assert a_session.save_painting() == ()
    assert a_session.project.cases["c1"].generation == 1


def test_labels_that_exclude_each_other_are_not_flattened(a_session, screen, box) -> None:
    screen["spleen"] = box(1)
    a_session.signals.current_case_changed.connect(lambda _case: pytest.fail("the case must stay"))
    with pytest.raises(ProjectError, match="spleen and liver share 20 voxels in case c1"):
        a_session.show_case(None)
    screen["liver"] = box(0)  # the person moved the border: both change at once
    assert a_session.save_painting() == ("liver", "spleen")


def test_a_mask_of_another_grid_is_refused(a_session, screen) -> None:
    screen["spleen"] = np.ones((2, 2, 2), bool)
    with pytest.raises(ImageError, match=r"expected a boolean volume of shape \(6, 5, 4\)"):
        a_session.save_painting()


def test_finished_slices_make_a_label_partial_and_join(a_session, screen, box) -> None:
    screen["spleen"] = box(slice(3, 5))
    for index in (4, 3, 1):
        a_session.finish_slice(index, label="spleen")
    row = next(row for row in a_session.organ_rows() if row.name == "spleen")
    assert (row.state, row.symbol, row.finished) == ("partial", "✎", "slices 1, 3–4")
    known = a_session.project.cases["c1"].known(a_session.project.label_set)
    assert known[1].sum() == 3 * 20 + 20  # and slice 0, which is the liver
    a_session.finish_slice(2, axis=2, label="spleen")
    assert a_session.current_case.annotation("spleen").regions[-1].kind is RegionKind.BOX
    a_session.cycle("spleen")
    assert state(a_session, "spleen") == "complete"


def test_a_finished_slice_counts_for_every_open_label(a_session) -> None:
    a_session.finish_slice(5)
    said = a_session.current_case.annotations
    assert said["liver"].state is State.COMPLETE
    assert said["spleen"].state is said["tumour"].state is State.PARTIAL
    a_session.unfinish("tumour")
    assert state(a_session, "tumour") == "unknown"
    with pytest.raises(ProjectError, match="liver is finished in case c1 already"):
        a_session.finish_slice(5, label="liver")
    with pytest.raises(ProjectError, match="expected slice 0 to 5, found 6"):
        a_session.finish_slice(6)


def test_the_slice_button_says_when_nothing_is_left(a_session) -> None:
    assert a_session.may_finish_slice is None
    for name in ("spleen", "tumour"):
        a_session.set_state(name, State.ABSENT)
    assert a_session.may_finish_slice == "This slice is done: every organ is finished in case c1 already"
    a_session.show_case(None)
    assert a_session.may_finish_slice == "This slice is done: open a case first"


def test_one_state_for_all_cases_and_where_it_could_not_be(a_session, a_project, add_case, box) -> None:
    add_case(a_project, "c2", masks={"spleen": box(4)}, said={"spleen": Annotation(State.COMPLETE)})
    add_case(a_project, "c3")
    a_session.poll()
    changed, refused = a_session.apply_to_all("spleen", State.ABSENT)
    assert changed == 2
    assert [case for case, _ in refused] == ["c2"]
    assert "is painted in case c2" in refused[0][1]


def test_what_is_ignored_is_kept_and_taken_back(a_session, box) -> None:
    assert a_session.ignore() is None
    a_session.set_ignore(box(2))
    assert a_session.ignore().sum() == 20
    a_session.set_ignore(np.zeros((6, 5, 4), bool))
    assert a_session.ignore() is None


def test_a_new_organ_is_not_annotated_anywhere_and_may_be_renamed_until_a_file_knows_it(a_session, screen, box) -> None:
    a_session.add_organ("  aorda ")
    assert state(a_session, "aorda") == "unknown"
    assert a_session.may_add_organ("AORDA") == "Add organ: AORDA is there already"
    assert a_session.may_add_organ(" ") == "Add organ: type its name"
    assert a_session.may_rename("liver", "hepar") == (
        "Rename: 1 case says something about liver; add an organ with the new name instead"
    )
    assert "another organ" in str(a_session.may_rename("aorda", "spleen"))
    a_session.rename_organ("aorda", "aorta")
    assert [row.name for row in a_session.organ_rows()][-1] == "aorta"
    assert Project.open(a_session.project.root).label_set.names[-1] == "aorta"
    screen["aorta"] = box(5)
    a_session.save_painting()
    assert a_session.may_rename("aorta", "vessel") == (
        "Rename: label files hold aorta; add an organ with the new name instead"
    )
