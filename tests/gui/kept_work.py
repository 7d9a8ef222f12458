"""A viewer model with a controller whose work on an image file is saved as it goes."""

from __future__ import annotations

import tifffile
from windowless import Work

from napari_anysam._napari.session_keeper import SessionKeeper


class KeptWork(Work):
    """As ``Work``, on a TIFF file, with a session beside it.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path) -> None:
        super().__init__(tifffile.imread(path), name=path.stem)
        self.image._source = self.image.source.model_copy(update={"path": str(path)})
        self.keeper = SessionKeeper(self.viewer, self.control, self.calls.put)

    def close(self) -> None:
        """Close as the dock does."""
        if self.keeper is not None:
            self.keeper.close()
            self.control.close()
            self.keeper = None
