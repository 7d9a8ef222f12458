"""Procedural scenes: every pixel comes from a seed, none from a photograph or a data set."""

from scenes.recipes import RECIPES, Recipe, Scene, make_scene

__all__ = ["RECIPES", "Recipe", "Scene", "make_scene"]
