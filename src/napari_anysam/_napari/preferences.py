"""What the Segment dock remembers of a user: keys, write policy, mask options, modes.

They lie in ``segment_dock.json`` in the folder of the settings (``settings.config_folder``): the
same file for every version of napari, which keeps preferences of plugins only since 0.9.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_anysam.errors import SettingsError
from napari_anysam.models.replacing import replacing
from napari_anysam.segmentation.labels import WritePolicy  # noqa: TC001 - pydantic reads it
from napari_anysam.segmentation.mask_options import MaskOptions
from napari_anysam.settings import config_folder

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Preferences", "change_preferences", "preferences_file", "read_preferences"]


class Preferences(BaseModel):
    """Preferences of one user.

    Parameters
    ----------
    keys : dict of str to str
        Keys by the name of their action, where they are not the default ones.
    accept_on_next : bool
        Whether beginning another object accepts the running mask.
    policy : {"protect", "over", "background"}
        What a mask may take.
    mask : MaskOptions
        How logits become masks.
    each_click, each_box : bool
        Whether each click, or each box, is an object.
    hover : bool
        Whether the resting mouse shows what a click would give.
    """

    # What a later version has written stays in the file.
    model_config = ConfigDict(extra="allow", frozen=True)

    keys: dict[str, str] = Field(default_factory=dict)
    accept_on_next: bool = True
    policy: WritePolicy = "protect"
    mask: MaskOptions = MaskOptions()
    each_click: bool = False
    each_box: bool = True
    hover: bool = False


def preferences_file() -> Path:
    """Return the file that this user's preferences lie in, whether it exists or not."""
    return config_folder() / "segment_dock.json"


def read_preferences() -> Preferences:
    """Return what the user has set before; the defaults if there is no file.

    Raises
    ------
    SettingsError
        If the file cannot be read, or holds something else.
    """
    path = preferences_file()
    try:
        return Preferences.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Preferences()
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read ({error.strerror}); make it readable, or delete it."
        ) from error
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"])) or "the file"
        raise SettingsError(
            f"{path} is not valid ({place}: {fault['msg']}); the defaults are used until it is "
            "corrected or deleted."
        ) from error


def change_preferences(**changes: Any) -> Preferences:
    """Write some preferences; the others stay as they are in the file.

    Parameters
    ----------
    **changes
        Fields of ``Preferences``.

    Raises
    ------
    SettingsError
        If a value is not valid, or the file cannot be read or written.
    """
    known = read_preferences()
    changed = Preferences.model_validate({**_fields(known), **changes})
    if changed == known:
        return known
    path = preferences_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(changed.model_dump_json(indent=2), "utf-8")
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be written ({error.strerror}), so the preferences are not kept; make "
            "room, or make its folder writable."
        ) from error
    return changed


def _fields(preferences: Preferences) -> dict[str, Any]:
    return {
        **{name: getattr(preferences, name) for name in type(preferences).model_fields},
        **(preferences.model_extra or {}),
    }
