"""What the module remembers in a scene."""

from __future__ import annotations

import pytest
from SemiSupSegScene.SceneParameters import SceneParameters, projectKey


def test_choices_are_saved_with_the_scene(host, a_scene, tmp_path):
    parameters = SceneParameters(a_scene)
    assert parameters.get("threshold") == "0.2"
    parameters.set("threshold", 0.35)
    parameters.set("projectKey", projectKey(tmp_path))
    host.save_scene(tmp_path / "scene.mrb")
    host.load_scene(tmp_path / "scene.mrb")
    assert SceneParameters(a_scene).get("threshold") == "0.35"
    assert a_scene.GetNumberOfNodesByClass("vtkMRMLScriptedModuleNode") == 1


def test_parameters_start_anew_after_the_scene_was_closed(a_scene):
    parameters = SceneParameters(a_scene)
    parameters.set("preset", "thorough")
    a_scene.Clear(False)
    assert parameters.get("preset") == "quick"


def test_g24_nothing_but_ids_and_choices_can_be_remembered(a_scene, tmp_path):
    parameters = SceneParameters(a_scene)
    with pytest.raises(KeyError):
        parameters.set("projectFolder", "/data/Smith_John")
    with pytest.raises(KeyError):
        parameters.get("patientName")
    folder = tmp_path / "Smith_John"
    assert "Smith" not in projectKey(folder)
    assert projectKey(folder) != projectKey(tmp_path)
