"""Checks of XGBoost's own JSON before XGBoost reads it: it trusts what it is given and would read past its arrays."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, ValidationInfo

from vitas_hw.predictors.sealed_file import Number, read

_NODE = 1 << 20  # more nodes than any tree of ours has
_MOST_TREES = 10_000
_DEEPEST = 16  # levels below the root: fits use 2 or 4, and XGBoost overflows its stack on very deep ones
_NO_NODE = -1
_ROOT_PARENT = 2**31 - 1
_NUMBERS = ("base_weights", "loss_changes", "split_conditions", "sum_hessian")
_INTEGERS = ("left_children", "right_children", "parents", "split_indices", "split_type", "default_left")
_EMPTY = ("categories", "categories_nodes", "categories_segments", "categories_sizes")
_Whole = Annotated[int, Field(strict=True, ge=_NO_NODE, le=_ROOT_PARENT)]
_Version = Annotated[int, Field(strict=True, ge=0, le=1000)]
_LEARNER = {"attributes", "feature_names", "feature_types", "gradient_booster", "learner_model_param", "objective"}
_MODEL = {"cats", "gbtree_model_param", "iteration_indptr", "tree_info", "trees"}
_PARAMETERS = {"base_score", "boost_from_average", "num_class", "num_feature", "num_target"}
_CATEGORIES = {"enc", "feature_segments", "sorted_idx"}
_TREE = {*_NUMBERS, *_INTEGERS, *_EMPTY, "id", "tree_param"}


def checked_booster(data: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
    """``data``; raises ValueError, KeyError or TypeError unless these are plain regression trees over the columns."""
    columns, learner = len(info.context or ()), data["learner"]
    gbtree, parameters = learner["gradient_booster"], learner["learner_model_param"]
    model = gbtree["model"]
    count = len(model["trees"])
    if not 1 <= count <= _MOST_TREES or set(data) != {"learner", "version"} or set(learner) - _LEARNER:
        raise ValueError("the booster has other parts than XGBoost's, or too many trees")
    read(tuple[_Version, _Version, _Version], data["version"])
    if learner["attributes"] or learner.get("feature_names") or learner.get("feature_types"):
        raise ValueError("the learner has names or attributes of its own")
    if learner["objective"] != {"name": "reg:absoluteerror"} or gbtree["name"] != "gbtree":
        raise ValueError("the booster is of another kind")
    if set(gbtree) != {"model", "name"} or set(model) - _MODEL or set(parameters) - _PARAMETERS:
        raise ValueError("the booster has parts that XGBoost would read and we do not know")
    if any(model.get("cats", {}).values()) or set(model.get("cats", {})) - _CATEGORIES:
        raise ValueError("the booster has categories")
    _check_equal(parameters, {"num_feature": str(columns), "num_class": "0", "num_target": "1"})
    if not isinstance(parameters["base_score"], str) or float(parameters["base_score"].strip("[]")) != 0.0:
        raise ValueError("the base score is not 0")
    _check_equal(model["gbtree_model_param"], {"num_trees": str(count), "num_parallel_tree": "1"})
    _check_equal(model, {"tree_info": [0] * count, "iteration_indptr": list(range(count + 1))})
    for index, tree in enumerate(model["trees"]):
        _check_tree(tree, index, columns)
    return data


def _check_equal(data: Any, wanted: dict[str, Any]) -> None:
    for name, value in wanted.items():
        if data[name] != value:
            raise ValueError(f"the trees' {name} does not fit")


def _check_tree(tree: Any, index: int, columns: int) -> None:
    nodes = len(tree["left_children"])
    wanted = {"num_nodes": str(nodes), "num_feature": str(columns), "num_deleted": "0", "size_leaf_vector": "1"}
    if set(tree) != _TREE or tree["id"] != index or tree["tree_param"] != wanted or not 1 <= nodes <= _NODE:
        raise ValueError("a tree's numbers do not fit")
    if any(tree[name] for name in _EMPTY):
        raise ValueError("a tree has categories")
    for name in (*_NUMBERS, *_INTEGERS):
        found: list[float] = read(list[Number] if name in _NUMBERS else list[_Whole], tree[name])  # type: ignore[arg-type]
        if len(found) != nodes:
            raise ValueError(f"a tree has {len(found)} {name} for {nodes} nodes")
    for name, most in (("split_indices", columns - 1), ("split_type", 0), ("default_left", 1)):
        if not 0 <= min(tree[name]) <= max(tree[name]) <= most:
            raise ValueError(f"a tree's {name} are not from 0 to {most}")
    _check_links(tree, nodes)


def _check_links(tree: Any, nodes: int) -> None:
    """Every node but the root is one node's child, and comes after it: so a walk ends, after few steps."""
    parents, depths = [_ROOT_PARENT] + [_NO_NODE] * (nodes - 1), [0] * nodes
    for node in range(nodes):
        left, right = tree["left_children"][node], tree["right_children"][node]
        if (left, right) == (_NO_NODE, _NO_NODE):
            continue
        for child in (left, right):
            if not node < child < nodes or parents[child] != _NO_NODE:
                raise ValueError("a tree's node comes before its parent, or has two")
            parents[child], depths[child] = node, depths[node] + 1
    if tree["parents"] != parents:
        raise ValueError("a tree's nodes do not hang together")
    if max(depths) > _DEEPEST:
        raise ValueError(f"a tree is {max(depths)} levels deep, more than {_DEEPEST}")
