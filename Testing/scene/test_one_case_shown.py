"""Only one patient's labels are to be seen at a time; nothing is removed for that."""

from __future__ import annotations

from SemiSupSegScene.CaseScene import CaseScene


def test_labels_of_another_case_never_lie_over_the_open_one(a_scene, a_project):
    first = a_project.case("c1")
    a_project.add_case("c2", first.image(), labels=None, annotations={}, modality="CT", who="ann")
    case_scene = CaseScene(a_scene)
    case_scene.open(first, a_project.label_set)
    before = case_scene.segmentationNode
    case_scene.open(a_project.case("c2"), a_project.label_set)
    assert not before.GetDisplayVisibility()
    assert case_scene.segmentationNode.GetDisplayVisibility()
    assert before.GetScene() is not None
    case_scene.open(first, a_project.label_set)
    assert before.GetDisplayVisibility()
    case_scene.close()
