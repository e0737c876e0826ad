"""The JSON Schema of recipes: what editors check and complete a recipe by while it is written."""

from __future__ import annotations

from typing import Any

from sentinel.actions import ACTIONS
from sentinel.core.recipes import DURATION_PATTERN, RANGE_PATTERN, Recipe, spelled

_OURS = ("digest", "version", "author")  # not the document's to say
_BOUNDS = frozenset({"minimum", "maximum", "gt", "ge", "lt", "le"})  # of numbers, and these are texts
_EXPRESSION = {"type": "string", "pattern": r"\$\{"}


def recipe_schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12) of a recipe, with the inputs of each action."""
    schema = Recipe.model_json_schema(by_alias=True)
    definitions: dict[str, Any] = schema["$defs"]
    for name in _OURS:
        del schema["properties"][name]
    step = definitions["Step"]
    step["properties"]["uses"] = {"enum": sorted(ACTIONS)}
    step["allOf"] = [_inputs(name, definitions) for name in sorted(ACTIONS)]
    for trigger, keys in (("Trigger", ("rule", "schedule")), ("Schedule", ("cron", "every"))):
        definitions[trigger]["oneOf"] = [{"required": [key]} for key in keys]
    told = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Sentinel recipe",
        **{key: value for key, value in schema.items() if key != "title"},
    }
    spelled_out: dict[str, Any] = _spelled(told)
    return spelled_out


def _inputs(name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return what `with` has to be where `uses` names an action."""
    action = ACTIONS[name]
    inputs = action.model.model_json_schema(by_alias=True, ref_template=f"#/$defs/{name}.{{model}}")
    for inner, each in inputs.pop("$defs", {}).items():
        definitions[f"{name}.{inner}"] = each
    for field in action.forms:
        inputs["properties"][field] = {"anyOf": [inputs["properties"][field], _EXPRESSION]}
    definitions[f"{name}.Inputs"] = inputs
    then: dict[str, Any] = {"properties": {"with": {"$ref": f"#/$defs/{name}.Inputs"}}}
    if inputs.get("required"):
        then["required"] = ["with"]
    return {"if": {"properties": {"uses": {"const": name}}}, "then": then}


def _spelled(node: Any) -> Any:
    """Spell the defaults and bounds of durations as a recipe does; leave out what people do not read."""
    if isinstance(node, list):
        return [_spelled(each) for each in node]
    if not isinstance(node, dict):
        return node
    told = {
        key: _spelled(value)
        for key, value in node.items()
        if not (key == "title" and isinstance(value, str) and "type" in node)
    }
    if told.get("pattern") in {DURATION_PATTERN, RANGE_PATTERN}:
        told = {key: value for key, value in told.items() if key not in _BOUNDS}
        default = told.get("default")
        if isinstance(default, int):
            told["default"] = spelled(default)
        elif isinstance(default, dict):
            told["default"] = f"{spelled(default['base'])}..{spelled(default['cap'])}"
    return told
