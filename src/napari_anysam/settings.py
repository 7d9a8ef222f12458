"""What a user or a site sets once: where models and caches lie, and how models may be downloaded.

Environment variables (``ANYSAM_MODELS``, ``ANYSAM_MIRROR``, ...) win over the user's
``settings.toml``, which lies in the folder that ``config_folder`` returns.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs
from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from napari_anysam.errors import SettingsError

__all__ = ["CONFIG_VARIABLE", "MODELS_VARIABLE", "Settings", "config_folder", "read_settings"]

MODELS_VARIABLE = "ANYSAM_MODELS"
CONFIG_VARIABLE = "ANYSAM_CONFIG"

_APPLICATION = "napari-anysam"
_FILE = "settings.toml"


def config_folder() -> Path:
    """Return the folder of this user's settings; ANYSAM_CONFIG moves it."""
    moved = os.environ.get(CONFIG_VARIABLE)
    return Path(moved) if moved else platformdirs.user_config_path(_APPLICATION, False)


def _default_models() -> Path:
    return platformdirs.user_data_path(_APPLICATION, False) / "models"


def _default_cache() -> Path:
    return platformdirs.user_cache_path(_APPLICATION, False)


def _hub_is_offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


class Settings(BaseSettings):
    """Settings of one user.

    Parameters
    ----------
    models : Path
        Downloaded models lie here.
    site_models : Path, optional
        A folder of models that a site shares, read-only; looked at after the user's own.
    cache : Path
        What this package has measured and encoded lies here; it may be deleted at any time.
    embedding_memory_gb : float
        Embeddings of the images of a window that are kept in memory, in GB of 1e9 bytes: so much
        for clicks, and as much for the planes of runs.
    embedding_disk_gb : float
        Embeddings that are kept in the folder ``embeddings`` of ``cache``, in GB; 0 keeps none.
    mirror : str, optional
        Address below which a model's file is asked for before its official address.
    proxy : str, optional
        Address of a proxy for downloads; without it the system's own is used.
    offline : bool
        True forbids downloads; ``HF_HUB_OFFLINE`` does so too.
    fastsam_conf, fastsam_iou : float
        Least confidence of FastSAM's proposals, and the IoU from which two are one; 0 to 1.
    fastsam_retina_masks : bool
        Whether FastSAM draws masks at the resolution of the image.
    """

    model_config = SettingsConfigDict(
        env_prefix="ANYSAM_", env_ignore_empty=True, extra="forbid", frozen=True
    )

    models: Path = Field(default_factory=_default_models)
    site_models: Path | None = None
    cache: Path = Field(default_factory=_default_cache)
    embedding_memory_gb: float = Field(default=1, ge=0)
    embedding_disk_gb: float = Field(default=10, ge=0)
    mirror: str | None = None
    proxy: str | None = None
    offline: bool = Field(default_factory=_hub_is_offline)
    fastsam_conf: float = Field(default=0.4, ge=0, le=1)
    fastsam_iou: float = Field(default=0.9, ge=0, le=1)
    fastsam_retina_masks: bool = True

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments, then the environment, then the user's file."""
        del dotenv_settings, file_secret_settings
        file = TomlConfigSettingsSource(settings_cls, config_folder() / _FILE)
        return init_settings, env_settings, file


def read_settings() -> Settings:
    """Return the settings of this user.

    Raises
    ------
    SettingsError
        If the file or a variable holds something that is no setting.
    """
    try:
        return Settings()
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()
        )
        raise SettingsError(
            f"The settings are not valid ({faults}); correct {config_folder() / _FILE} or the "
            "ANYSAM_ variables of the environment."
        ) from error
    except ValueError as error:  # not TOML
        raise SettingsError(
            f"{config_folder() / _FILE} is no TOML file ({error}); correct or delete it."
        ) from error
