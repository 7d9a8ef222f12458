"""A session as the plain values of ``session.json``, and back."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam.images.conditioning import Conditioning
from napari_anysam.segmentation.journal import (
    Asked,
    ModelRecord,
    Paint,
    Painting,
    Recipe,
    Run,
    Write,
    Writing,
)
from napari_anysam.segmentation.lineage import check_lineage
from napari_anysam.segmentation.mask_options import MaskOptions
from napari_anysam.segmentation.prompt_files import (
    decode_mask,
    encode_mask,
    prompt_from_dict,
    prompt_to_dict,
)
from napari_anysam.segmentation.saved_session import ImageRecord, SavedSession
from napari_anysam.segmentation.session import KeptMask
from napari_anysam.segmentation.session_schema import (
    AskedFile,
    EntryFile,
    ImageFile,
    KeptFile,
    LabelsFile,
    MaskFile,
    ModelFile,
    OptionsFile,
    PaintFile,
    PaintingFile,
    RecipeFile,
    RunFile,
    SessionFile,
    StateFile,
    StoreFile,
    WritingFile,
)
from napari_anysam.segmentation.windows import Window

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_anysam.segmentation.journal import Entry
    from napari_anysam.segmentation.prompts import Prompt
    from napari_anysam.segmentation.session import PromptKey

__all__ = ["Describing", "Reading"]

_PACKAGES = ("napari-anysam", "torch", "numpy", "sam2", "timm")


@dataclass(slots=True)
class Describing:
    """Turns a session into plain values; what occurs often stands once in a list."""

    models: list[ModelRecord] = field(default_factory=list)
    conditionings: list[Conditioning] = field(default_factory=list)

    def session(
        self,
        session: SavedSession,
        labels: LabelsFile | StoreFile,
        hand_edits: str | None,
        run_state: StateFile | None = None,
    ) -> SessionFile:
        """Return all that ``session.json`` says.

        Parameters
        ----------
        session : SavedSession
        labels : LabelsFile or StoreFile
        hand_edits : str or None
            Name of their file.
        run_state : StateFile, optional
            Of ``session.reached``.
        """
        journal = tuple(self._entry(entry) for entry in session.journal)
        shown = session.conditioning
        return SessionFile(
            versions=_versions(),
            image=ImageFile(**asdict(session.image)),
            others=tuple(ImageFile(**asdict(other)) for other in session.others),
            order=session.order,
            labels=labels,
            hand_edits=hand_edits,
            run_state=run_state,
            object_id=session.object_id,
            plane=session.plane,
            conditioning=None if shown is None else _position(self.conditionings, shown),
            prompts=_prompts(session.prompts),
            classes=dict(session.classes),
            reviewed=tuple(sorted(session.reviewed, key=_in_order)),
            parents=dict(session.parents),
            dismissed=tuple(sorted(session.dismissed)),
            models=tuple(ModelFile(**asdict(model)) for model in self.models),
            conditionings=tuple(one.to_dict() for one in self.conditionings),
            journal=journal,
        )

    def _entry(self, entry: Entry) -> EntryFile:
        if isinstance(entry, Painting):
            return PaintingFile(
                paints=tuple(
                    PaintFile(index=one.index, mask=_mask(one.window), value=one.value)
                    for one in entry.paints
                ),
                kept=tuple(self._kept(key, mask) for key, mask in entry.kept.items()),
            )
        return WritingFile(
            policy=entry.policy,
            writes=tuple(self._kept(write.key, write.mask) for write in entry.writes),
            run=None if entry.run is None else self._run(entry.run),
        )

    def _kept(self, key: PromptKey, mask: KeptMask | None) -> KeptFile:
        if mask is None:
            return KeptFile(object_id=key[0], plane=key[1], mask=None)
        return KeptFile(
            object_id=key[0],
            plane=key[1],
            mask=_mask(mask.window),
            score=mask.score,
            model=mask.model,
            recipe=None if mask.recipe is None else self._recipe(mask.recipe),
            confidence=mask.confidence,
            doubts=mask.doubts,
        )

    def _recipe(self, recipe: Recipe) -> RecipeFile:
        asked = tuple(
            AskedFile(
                prompt=prompt_to_dict(one.prompt),
                conditioning=_position(self.conditionings, one.conditioning),
                choice=one.choice,
                options=OptionsFile(**asdict(one.options)),
                view=one.view,
                layers=one.layers,
            )
            for one in recipe.asked
        )
        return RecipeFile(asked=asked, model=_position(self.models, recipe.model))

    def _run(self, run: Run) -> RunFile:
        return RunFile(
            axis=run.axis,
            plane=run.plane,
            start=run.start,
            stop=run.stop,
            direction=run.direction,
            prompts=_prompts(run.prompts),
            conditioning=_position(self.conditionings, run.conditioning),
            model=_position(self.models, run.model),
            results=run.results,
            layers=run.layers,
            locked=tuple(sorted(run.locked, key=_in_order)),
            repaired=run.repaired,
            memory=run.memory,
            ending=run.ending,
            absent=tuple(sorted(run.absent, key=_in_order)),
            ended=tuple(sorted(run.ended, key=_in_order)),
            across=run.across,
            begun=run.begun,
            depths=run.depths,
            region=run.region,
            largest=run.largest,
        )


@dataclass(slots=True)
class Reading:
    """Turns plain values into a session.

    Parameters
    ----------
    file : SessionFile
    """

    file: SessionFile

    def session(self) -> SavedSession:
        """Return the session.

        Raises
        ------
        AnySAMError, ValueError, IndexError, KeyError, TypeError
            If a value is none of what it stands for.
        """
        file = self.file
        return SavedSession(
            image=ImageRecord(**file.image.model_dump()),
            order=file.order,
            prompts=tuple(prompt_from_dict(values) for values in file.prompts),
            classes=file.classes,
            reviewed=frozenset(file.reviewed),
            parents=check_lineage(file.parents),
            dismissed=frozenset(file.dismissed),
            journal=tuple(self._entry(entry) for entry in file.journal),
            object_id=file.object_id,
            plane=file.plane,
            conditioning=None
            if file.conditioning is None
            else self._conditioning(file.conditioning),
            others=tuple(ImageRecord(**other.model_dump()) for other in file.others),
        )

    def _entry(self, entry: EntryFile) -> Entry:
        if isinstance(entry, PaintingFile):
            paints = (Paint(one.index, _window(one.mask), one.value) for one in entry.paints)
            kept = {(one.object_id, one.plane): self._kept(one) for one in entry.kept}
            return Painting(tuple(paints), kept)
        writes = (Write((one.object_id, one.plane), self._kept(one)) for one in entry.writes)
        run = None if entry.run is None else self._run(entry.run)
        return Writing(tuple(writes), entry.policy, run)

    def _kept(self, kept: KeptFile) -> KeptMask | None:
        if kept.mask is None:
            return None
        recipe = None if kept.recipe is None else self._recipe(kept.recipe)
        return KeptMask(
            _window(kept.mask), kept.score, kept.model, recipe, kept.confidence, kept.doubts
        )

    def _recipe(self, recipe: RecipeFile) -> Recipe:
        asked = (
            Asked(
                prompt_from_dict(one.prompt),
                self._conditioning(one.conditioning),
                one.choice,
                MaskOptions(**one.options.model_dump()),
                one.view,
                one.layers,
            )
            for one in recipe.asked
        )
        return Recipe(tuple(asked), self._model(recipe.model))

    def _run(self, run: RunFile) -> Run:
        return Run(
            axis=run.axis,
            plane=run.plane,
            start=run.start,
            stop=run.stop,
            direction=run.direction,
            prompts=tuple(prompt_from_dict(values) for values in run.prompts),
            conditioning=self._conditioning(run.conditioning),
            model=self._model(run.model),
            results=run.results,
            layers=run.layers,
            locked=frozenset(run.locked),
            repaired=run.repaired,
            memory=run.memory,
            ending=run.ending,
            absent=frozenset(run.absent),
            ended=frozenset(run.ended),
            across=run.across,
            begun=run.begun,
            depths=run.depths,
            region=run.region,
            largest=run.largest,
        )

    def _conditioning(self, position: int) -> Conditioning:
        return Conditioning.from_dict(self.file.conditionings[position])

    def _model(self, position: int) -> ModelRecord:
        return ModelRecord(**self.file.models[position].model_dump())


def _in_order(key: PromptKey) -> tuple[int, int]:
    return key[0], -1 if key[1] is None else key[1]


def _prompts(prompts: Iterable[Prompt]) -> tuple[dict[str, Any], ...]:
    return tuple(prompt_to_dict(prompt) for prompt in prompts)


def _mask(window: Window) -> MaskFile:
    return MaskFile(origin=window.origin, rle=encode_mask(window.mask))


def _window(mask: MaskFile) -> Window:
    """Return the window as it was; its mask may be smaller than it."""
    inside = decode_mask(mask.rle)
    shape = (inside.shape[0], inside.shape[1])
    return Window(mask.origin, shape, np.packbits(inside), int(np.count_nonzero(inside)))


def _position(values: list[Any], value: Any) -> int:
    if value not in values:
        values.append(value)
    return values.index(value)


def _versions() -> dict[str, str]:
    return {"python": sys.version.split()[0], **{name: version(name) for name in _PACKAGES}}
