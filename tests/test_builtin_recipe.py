"""The recipe of the shipped model: scenes, one step of training, export."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

torch = pytest.importorskip("torch")

RECIPE = Path(__file__).parents[1] / "tools" / "builtin_model"
if not RECIPE.is_dir():
    pytest.skip("the recipe is only in a source checkout", allow_module_level=True)


class Recipe(NamedTuple):
    """The modules of the recipe that the tests use."""

    scenes: ModuleType
    batches: ModuleType
    train: ModuleType
    pool: ModuleType
    network: ModuleType
    export: ModuleType
    measure: ModuleType


@pytest.fixture(scope="module")
def recipe() -> Iterator[Recipe]:
    """Import the recipe, whose modules are scripts beside each other, not a package."""
    before = set(sys.modules)
    sys.path.insert(0, str(RECIPE))
    try:
        import batches
        import export
        import measure
        import network
        import pool
        import scenes
        import train

        yield Recipe(scenes, batches, train, pool, network, export, measure)
    finally:
        sys.path.remove(str(RECIPE))
        for name in set(sys.modules) - before:
            if str(RECIPE) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]


class ScenePool:
    """A pool that makes its scenes when they are asked for."""

    def __init__(self, recipe: Recipe, planes: int, size: int = 128) -> None:
        self.recipe, self.planes, self.size = recipe, planes, size

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Make one scene of bright or dark discs."""
        seed = int(rng.integers(1000))
        scene = self.recipe.scenes.make_scene(seed, self.planes, self.size, "coins")
        return scene.images, scene.labels


@pytest.fixture
def stage(recipe: Recipe) -> object:
    """A stage of tiny steps on single planes and stacks."""
    sampling = recipe.batches.Sampling(128, images=1, objects=2)
    stacks = recipe.batches.Sampling(128, images=1, objects=2, planes=3)
    return recipe.train.Stage(
        "tiny", 4, sampling, rate=1e-4, last_rate=1e-5, auxiliary=1.0, balance=1.0,
        stacks=stacks, stack_every=2, warm_up=1,
    )  # fmt: skip


def test_a_scene_is_the_same_for_the_same_seed(recipe: Recipe) -> None:
    first, second = (recipe.scenes.make_scene(3, planes=2, size=64) for _ in range(2))
    np.testing.assert_array_equal(first.images, second.images)
    np.testing.assert_array_equal(first.labels, second.labels)


def test_scenes_of_other_seeds_differ(recipe: Recipe) -> None:
    first, second = (recipe.scenes.make_scene(seed, size=64) for seed in (3, 4))
    assert not np.array_equal(first.images, second.images)


def test_every_kind_of_scene_has_labels_that_fit_its_images(recipe: Recipe) -> None:
    for kind in recipe.scenes.RECIPES:
        scene = recipe.scenes.make_scene(1, planes=2, size=96, name=kind.name)
        assert scene.images.shape == (2, 96, 96, 3), kind.name
        assert scene.images.dtype == scene.labels.dtype == np.uint8, kind.name
        assert scene.labels.shape == (2, 96, 96), kind.name
        assert scene.images.std() > 5, kind.name


def test_bright_nuclei_are_where_the_labels_say(recipe: Recipe) -> None:
    contrasts = []
    for seed in range(6):
        scene = recipe.scenes.make_scene(seed, size=96, name="nuclei")
        inside = scene.labels > 0
        if inside.any() and not inside.all():
            contrasts.append(abs(scene.images[inside].mean() - scene.images[~inside].mean()))
    assert np.median(contrasts) > 30


def test_clicks_lie_on_their_objects_and_boxes_hold_them(recipe: Recipe) -> None:
    rng = np.random.default_rng(0)
    sampling = recipe.batches.Sampling(128, images=2, objects=3)
    batch = recipe.batches.make_batch(rng, ScenePool(recipe, 1), sampling)
    assert batch.images.shape == (2, 3, 128, 128)
    assert batch.targets.shape == (6, 1, 32, 32)
    for target, (x, y), box in zip(batch.targets, batch.clicks, batch.boxes, strict=True):
        assert target[0, int(y) // 4, int(x) // 4] > 0
        rows, columns = torch.nonzero(target[0], as_tuple=True)
        centre = columns.float().mean() * 4 + 2, rows.float().mean() * 4 + 2
        assert box[0] < centre[0] < box[2]
        assert box[1] < centre[1] < box[3]


def test_what_a_region_cuts_off_counts_against_the_predicted_iou(recipe: Recipe) -> None:
    labels = np.zeros((1, 80, 80), np.uint8)
    labels[0, 20:40, 10:50] = 3
    region = recipe.batches._Region(top=0, left=0, height=40, width=30)
    outside = recipe.batches._outside(labels[0], region, size=64)[3]
    # 20 x 20 pixels are beyond column 30; a cell is 4 x 4 pixels of the 64 x 64 input.
    assert float(outside) == pytest.approx(20 * 20 * (64 / 40) * (64 / 30) / 16)
    losses = sys.modules[recipe.train.candidates_loss.__module__]
    target = torch.zeros(1, 1, 16, 16)
    target[..., 8:, 4:] = 1
    logits = 20 * target - 10
    whole = losses.intersection_over_union(logits, target)
    cut = losses.intersection_over_union(logits, target, outside[None])
    assert float(whole) == 1
    assert float(cut) == pytest.approx(96 / (96 + float(outside)))


def test_what_is_seen_of_a_blob_lies_within_its_outline(recipe: Recipe) -> None:
    smaller = 0
    nuclei = next(one for one in recipe.scenes.RECIPES if one.name == "nuclei")
    for seed in range(8):
        layout = nuclei.layout(np.random.default_rng(seed), (1, 96, 96))
        seen = layout.bodies > 0
        np.testing.assert_array_equal(layout.bodies[seen], layout.labels[seen])
        smaller += int(seen.sum() < (layout.labels > 0).sum())
    assert 0 < smaller < 8


def test_a_drift_moves_pixels_and_truth_alike(recipe: Recipe) -> None:
    class StillPool:
        def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
            labels = np.zeros((3, 128, 128), np.uint8)
            labels[:, 50:80, 40:75] = 1
            return np.repeat((labels * 200)[..., None], 3, axis=-1), labels

    sampling = recipe.batches.Sampling(128, images=8, objects=1, planes=3, whole=0.0)
    batch = recipe.batches.make_batch(np.random.default_rng(1), StillPool(), sampling)
    images = batch.images.view(8, 3, 3, 128, 128).mean(2)
    moved = 0
    for planes, targets in zip(images, batch.targets, strict=True):
        for plane, target in zip(planes, targets, strict=True):
            if 20 < target.sum() < target.numel() - 20:
                small = torch.nn.functional.avg_pool2d(plane[None, None], 4)[0, 0]
                joint = torch.stack([small.flatten(), target.flatten()])
                assert abs(float(torch.corrcoef(joint)[0, 1])) > 0.9
        moved += int(not torch.equal(targets[0], targets[-1]))
    assert moved


def test_a_later_click_is_given_only_to_objects_that_are_there(
    recipe: Recipe, tmp_path: Path
) -> None:
    trainer = recipe.train.Trainer(tmp_path, "cpu", seed=0)
    target = torch.zeros(2, 1, 32, 32)
    target[1, 0, 10:20, 4:12] = 1
    anchor = trainer._later_anchor(target)
    assert anchor.labels.flatten().tolist() == [recipe.network.PADDING, recipe.network.POSITIVE]
    x, y = anchor.points[1, 0].tolist()
    assert target[1, 0, int(y) // 4, int(x) // 4]
    assert not anchor.fresh


def test_one_step_on_planes_and_on_stacks_changes_the_weights(
    recipe: Recipe, stage: object, tmp_path: Path
) -> None:
    trainer = recipe.train.Trainer(tmp_path, "cpu", seed=0)
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    recipe.network.set_image_size(trainer.network, 128)
    figures = trainer.image_step(stage, ScenePool(recipe, 1))
    figures |= trainer.stack_step(stage, ScenePool(recipe, 3))
    assert np.isfinite(figures["loss"])
    after = trainer.network.state_dict()
    for part in ("image_encoder", "memory_attention", "memory_encoder", "sam_mask_decoder"):
        names = [name for name in before if name.startswith(part)]
        assert any(not torch.equal(before[name], after[name]) for name in names), part


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(
    recipe: Recipe, stage: object, tmp_path: Path
) -> None:
    pools = ScenePool(recipe, 1), ScenePool(recipe, 3)
    half = recipe.train.replace(stage, steps=1)
    ends = []
    for name, interrupted in (("whole", False), ("parts", True)):
        run = tmp_path / name
        run.mkdir()
        trainer = recipe.train.Trainer(run, "cpu", seed=0)
        if interrupted:
            trainer.run_stage(half, *pools, save_every=0)
            trainer.stage, trainer.step = 0, 1
            trainer.save()
            trainer = recipe.train.Trainer(run, "cpu", seed=0)
            trainer.resume()
        trainer.run_stage(recipe.train.replace(stage, steps=2), *pools, save_every=60)
        ends.append(trainer.network.state_dict())
    for name, value in ends[0].items():
        torch.testing.assert_close(value, ends[1][name], msg=name)


def test_exported_weights_load_into_the_network_of_the_yaml(recipe: Recipe, tmp_path: Path) -> None:
    network = recipe.network.build_network()
    path = tmp_path / "weights.safetensors"
    recipe.export.write_weights(network.state_dict(), path)
    loaded = recipe.measure.load_network(path).state_dict()
    assert path.stat().st_size < 12 * 2**20
    for name, value in network.state_dict().items():
        torch.testing.assert_close(loaded[name], value.half().float(), msg=name)


def test_the_packaged_weights_load_and_say_what_they_are(recipe: Recipe) -> None:
    from safetensors import safe_open

    recipe.measure.load_network(recipe.network.WEIGHTS)
    with safe_open(recipe.network.WEIGHTS, "pt") as file:
        metadata = file.metadata()
    assert metadata["name"] == "anysam-nano"
    assert metadata["version"] == recipe.network.VERSION
    assert metadata["licence"] == "BSD-3-Clause"
