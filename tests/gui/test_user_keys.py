"""Keys of actions: free by default, chosen ones kept, conflicts refused; and the help panel."""

from __future__ import annotations

import numpy as np
import pytest
from gui_scenes import blobs
from napari.layers import Image, Labels, Points, Shapes
from napari.utils.key_bindings import coerce_keybinding
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtTest import QTest

from napari_anysam._napari.actions import ACTIONS
from napari_anysam._napari.keys import LayerKeys
from napari_anysam._napari.preferences import change_preferences, read_preferences
from napari_anysam._napari.status import Stage
from napari_anysam._napari.user_keys import UserKeys, in_words, keys_of_napari, user_keys
from napari_anysam.errors import SettingsError

CTRL_ALT = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier
CTRL_SHIFT = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def keys(qapp):
    return UserKeys()


def pressed(action):
    """Return an action's key as Qt has it: the key and its modifiers."""
    combination = QKeySequence(user_keys().keys[action])[0]
    return combination.key(), combination.keyboardModifiers()


def bound(layer):
    return {str(key) for key in layer.keymap}


def test_every_action_has_a_free_letter_of_its_own_by_default(keys):
    defaults = list(keys.keys.values())
    assert len(set(defaults)) == len(ACTIONS)
    for key in defaults:
        assert key[-1] in "GHJKNQUW" or key.startswith("Ctrl+Alt+")
        assert str(coerce_keybinding(key)) == key


@pytest.mark.gui
def test_napari_uses_none_of_them_on_our_layers_nor_in_its_menus(desk):
    used = keys_of_napari()
    assert {"1", "Shift+A", "Ctrl+Z", "Ctrl+O", "Ctrl+Q"} <= set(used)
    assert not set(used) & {action.key for action in ACTIONS}
    for kind in (Image, Points, Shapes, Labels):
        assert not {str(key) for key in kind.class_keymap} & {action.key for action in ACTIONS}


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("N", "N is the key of New object"),
        ("Ctrl+Z", r"Ctrl\+Z belongs to napari"),
        ("B", "B belongs to napari"),
        ("Enter", "Enter belongs to napari"),
        ("Ctrl", "not one key"),
        ("Q, W", "not one key"),
        ("no key", "key"),
        ("", "not one key"),
    ],
)
def test_a_key_that_is_taken_or_none_is_refused_and_nothing_changes(keys, key, reason):
    with pytest.raises(SettingsError, match=reason):
        keys.change("accept", key)
    assert keys.keys["accept"] == "Q"
    assert read_preferences().keys == {}


def test_a_chosen_key_is_kept_and_the_default_comes_back(keys):
    keys.change("accept", "ctrl+alt+b")
    again = UserKeys()
    again.read()
    assert again.keys["accept"] == "Ctrl+Alt+B"
    again.restore()
    assert again.keys["accept"] == "Q"
    assert read_preferences().keys == {}


def test_two_actions_may_have_swapped_their_keys(keys):
    keys.change("accept", "Ctrl+Alt+B")
    keys.change("new", "Q")
    keys.change("accept", "N")
    again = UserKeys()
    again.read()
    assert (again.keys["accept"], again.keys["new"]) == ("N", "Q")


def test_keys_of_the_file_that_do_not_work_are_left_at_their_defaults(keys, capsys):
    change_preferences(keys={"accept": "Ctrl+Z", "new": "Ctrl+Alt+B", "of a later version": "K"})
    keys.read()
    assert (keys.keys["accept"], keys.keys["new"]) == ("Q", "Ctrl+Alt+B")
    assert set(keys.keys) == {action.name for action in ACTIONS}


def test_bound_and_unbound_on_layers_alone(qapp):
    calls = []
    actions = {one.name: (lambda name=one.name: calls.append(name)) for one in ACTIONS}
    layer_keys = LayerKeys(actions, lambda **_: None)
    layers = [Image(np.zeros((4, 4))), Points(), Shapes(), Labels(np.zeros((4, 4), int))]
    before = [bound(layer) for layer in layers]
    layer_keys.follow(layers)
    for layer in layers:
        assert {one.key for one in ACTIONS} <= bound(layer)
    assert "Enter" in bound(layers[1])
    assert not {"Enter", "Escape"} & (bound(layers[2]) | bound(layers[3]))
    layer_keys.release()
    assert [bound(layer) for layer in layers] == before


@pytest.mark.gui
def test_every_key_reaches_its_action_through_the_window(desk):
    image = desk.add(blobs(), name="discs")
    calls = []
    recorded = {one.name: (lambda name=one.name: calls.append(name)) for one in ACTIONS}
    desk.widget._keys._actions = recorded
    desk.widget._keys.bind_again()
    prompts = desk.control.workspace.prompts
    for layer in (prompts.points, prompts.shapes, image):
        desk.viewer.layers.selection.active = layer
        for action in ACTIONS:
            desk.key(*pressed(action.name))
        assert calls == [action.name for action in ACTIONS]
        calls.clear()


@pytest.mark.gui
def test_tools_sections_and_modes_have_keys(desk):
    image = desk.add(blobs(), name="discs")
    desk.key(*pressed("box"))
    assert desk.status.drawing == "boxes"
    desk.key(*pressed("point"))
    assert desk.status.drawing == "points"
    desk.key(*pressed("each_click"))
    assert desk.control._clicking.each_click_new
    desk.key(*pressed("each_click"))
    desk.key(*pressed("save"))
    assert not desk.widget.session.keeper.enabled
    desk.click(image, (40, 40))
    desk.wait_for(Stage.PREVIEW)
    desk.key(*pressed("clear"))
    desk.wait_for(Stage.READY)
    desk.key(*pressed("export"))  # there are no labels: the button is grey
    assert desk.widget.export.dialog is None
    desk.key(*pressed("everything"))
    desk.wait_for(Stage.IN_BULK)
    desk.wait_for(Stage.READY)
    assert desk.widget.many.found.isVisibleTo(desk.widget.many)


@pytest.mark.gui
def test_a_changed_key_works_at_once_and_tooltips_follow(desk):
    image = desk.add(blobs(), name="discs")
    points = desk.control.workspace.prompts.points
    user_keys().change("accept", "Ctrl+Alt+B")
    desk.settle()
    assert "Ctrl+Alt+B" in bound(points)
    assert "Q" not in bound(points)
    assert "(Enter or Ctrl+Alt+B)" in desk.widget.accept_button.toolTip()
    desk.click(image, (40, 40))
    desk.wait_for(Stage.PREVIEW)
    desk.key(Qt.Key.Key_Q)
    assert desk.control.labels is None
    desk.key(Qt.Key.Key_B, CTRL_ALT)
    assert desk.labels.any()


@pytest.mark.gui
def test_buttons_name_their_keys(desk):
    desk.add(blobs(), name="discs")
    dock = desk.widget
    buttons = {
        **dock.tools.buttons,
        "accept": dock.accept_button,
        "new": dock.new_button,
        "cycle": dock.candidate_button,
        "undo": dock.undo_button,
        "redo": dock.redo_button,
        "clear": dock.clear_button,
        "diameter": dock.stack.lesion.buttons["diameter"],
        "pick": dock.objects.pick_button,
        "split": dock.objects.split_button,
        "merge": dock.objects.merge_button,
        "delete": dock.objects.delete_button,
        "propagate": dock.stack.run_button,
        "anew": dock.stack.anew_button,
        "precompute": dock.precompute.run_button,
        "cancel": dock.stack.cancel_button,
        "each_click": dock.many.each_click,
        "each_box": dock.many.each_box,
        "refine": dock.many.refine_button,
        "everything": dock.many.everything_button,
        "found_previous": dock.many.found.previous_button,
        "found_keep": dock.many.found.keep_button,
        "found_drop": dock.many.found.drop_button,
        "measure": dock.objects.measure_button,
        "live": dock.stack.live,
        "doubtful_before": dock.review.previous_button,
        "doubtful_next": dock.review.next_button,
        "prompt_before": dock.review.previous_prompt_button,
        "prompt_next": dock.review.next_prompt_button,
        "reviewed": dock.review.reviewed_button,
        "repair": dock.review.repair_button,
        "save": dock.session.save,
        "folder": dock.session.folder_button,
        "open": dock.session.open_button,
        "export": dock.export.run_button,
        "store": dock.store.store_button,
        "brush": dock.store.brush_button,
        "models": dock.manager_button,
        "help": dock.help_button,
        "previous": dock.candidate_button,
    }
    assert set(buttons) == {action.name for action in ACTIONS}
    for action, button in buttons.items():
        assert f"({in_words(action)})" in button.toolTip(), action


@pytest.mark.gui
def test_closing_the_dock_leaves_no_key(desk):
    desk.add(blobs(), name="discs")
    layers = list(desk.viewer.layers)
    assert all("Ctrl+Shift+W" in bound(layer) for layer in layers)
    desk.widget.close_quietly()
    ours = set(user_keys().keys.values())
    assert not any(ours & bound(layer) for layer in layers)
    user_keys().change("accept", "Ctrl+Alt+B")
    assert not any("Ctrl+Alt+B" in bound(layer) for layer in layers)


@pytest.mark.gui
def test_the_help_panel_shows_and_changes_keys(desk):
    desk.add(blobs(), name="discs")
    desk.key(Qt.Key.Key_W, CTRL_SHIFT)
    desk.wait(lambda: desk.widget.help is not None and desk.widget.help.isVisible())
    panel = desk.widget.help
    assert not panel.isModal()
    assert set(panel.fields) == {action.name for action in ACTIONS}
    field = panel.fields["accept"]
    assert field.keySequence() == QKeySequence("Q")
    QTest.keyClick(field, Qt.Key.Key_B, CTRL_ALT)
    assert user_keys().keys["accept"] == "Ctrl+Alt+B"
    QTest.keyClick(field, Qt.Key.Key_N)
    assert "is the key of New object" in panel.message.text()
    assert field.keySequence() == QKeySequence("Ctrl+Alt+B")
    desk.press(panel.restore_button)
    assert field.keySequence() == QKeySequence("Q")
    assert not panel.message.isVisible()
    panel.close()
