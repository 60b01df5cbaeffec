"""The design's laws as functions of a source tree; each gives the breaches that it finds."""

import ast
from pathlib import Path

VERBS = {
    "convert",
    "evaluate",
    "label",
    "phantom",
    "predict",
    "pyramid",
    "selecting",
    "sensitivity",
    "status",
    "survey",
    "trace",
    "train",
    "view",
}
SKIN = {
    "bench",
    "cli",
    "demo",
    "finish",
    "napari_plugin",
    "pages",
    "studio",
    "testset",
    "__init__",
    "__main__",
}
FORBIDDEN_NAMES = {"core", "utils", "common", "helpers", "manager"}
CLUSTERS = {"dask", "distributed", "dask_jobqueue"}
ON_CLUSTERS = {f"neuroglow.blocks.{room}" for room in ("cluster", "cluster_profile", "on_worker")}
"""These import them inside functions: a run that uses no cluster never does."""
VIEWERS = {"magicgui", "napari", "neuroglancer", "qtpy", "tornado", "vtk", "vtkmodules"}


def imports(path):
    """List what a file imports: (module, at module level?)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    outside = {
        id(n)
        for n in ast.walk(tree)
        if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test)
        for n in ast.walk(n)
    }
    inside = {
        id(n)
        for f in ast.walk(tree)
        if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for n in ast.walk(f)
    }
    for node in ast.walk(tree):
        if id(node) in outside:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) not in inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, id(node) not in inside


def room(name):
    """Give the rank of a module: 3 skin, 2 verb, 1 noun, 0 geometry and errors."""
    parts = name.split(".")[1:]
    if not parts or parts[0] in SKIN:
        return 3
    if parts[0] in VERBS:
        return 2
    return 0 if parts[-1] in ("errors", "geometry") else 1


def import_breaches(src):
    """Check cli -> verbs -> nouns -> geometry and errors, and who may import what."""
    found = []
    for path in sorted(Path(src).rglob("*.py")):
        name = ".".join(path.relative_to(Path(src).parent).with_suffix("").parts)
        name = name.removesuffix(".__init__")
        for target, at_top in imports(path):
            top = target.split(".")[0]
            if top == "neuroglow" and target != "neuroglow":
                lower = room(target) < room(name)
                same = room(target) == room(name) and room(name) in (0, 1, 3)
                one_verb = target.split(".")[1:2] == name.split(".")[1:2]
                if not (lower or same or one_verb):
                    found.append(f"{name} imports {target}")
            if top in CLUSTERS and (at_top or name not in ON_CLUSTERS):
                found.append(f"{name} imports {top}")
            if top == "openvino" and name.split(".")[1:2] != ["network"]:
                found.append(f"{name} imports openvino")
            shows = name.split(".")[1:2] in (["view"], ["napari_plugin"])
            if top in VIEWERS and not (shows and not at_top):
                found.append(f"{name} imports {top}")
            if top == "torch" and not (
                name.split(".")[1:2] == ["network"]
                or (room(name) == 2 and (not at_top or ".train." in name))
            ):
                found.append(f"{name} imports torch")
    return found


def style_breaches(src):
    """Check lengths of functions and files, counts of parameters, names of rooms.

    The public verbs spell out their options: keyword-only, in one list that is as long as it is.
    """
    found = []
    public = spelled_out_verbs(src)
    for path in sorted(Path(src).rglob("*.py")):
        if FORBIDDEN_NAMES & {*path.parent.parts, path.stem}:
            found.append(f"{path}: a name that says nothing")
        text = path.read_text(encoding="utf-8")
        if text.count("\n") > 500:
            found.append(f"{path}: over 500 lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                own = [a for a in arguments if a.arg not in ("self", "cls")]
                spelled_out = node.name in {*public, "adapt"}
                begins = node.body[0].lineno - 1 if spelled_out else node.lineno
                if node.end_lineno - begins >= 60:
                    found.append(f"{path}:{node.lineno} {node.name}: over 60 lines")
                if spelled_out:
                    own = [a for a in own if a not in node.args.kwonlyargs]
                if len(own) > 7 and path.parent.name != "cli":
                    found.append(f"{path}:{node.lineno} {node.name}: over 7 parameters")
    return found


def spelled_out_verbs(src):
    """Name the functions of the face that are verbs: those in `__all__` whose room is a verb's."""
    face = Path(src) / "__init__.py"
    tree = ast.parse(face.read_text(encoding="utf-8") if face.exists() else "")
    names = {
        part.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        for part in ast.walk(node.value)
        if isinstance(part, ast.Constant)
    }
    return {name for name in names if name.split("_")[0] in {*VERBS, "bench", "select"}}


def modules_of(src):
    """Name each module of a source tree, with the file that it is."""
    root = Path(src).parent
    for path in sorted(Path(src).rglob("*.py")):
        name = ".".join(path.relative_to(root).with_suffix("").parts)
        yield name.removesuffix(".__init__"), path


def import_circles(src):
    """Find modules that import each other in a circle, at the top of a file or in a function."""
    files = dict(modules_of(src))
    return _circles({name: set(_imported(path, files)) for name, path in files.items()})


def room_circles(src):
    """Find rooms (the folders of a package) whose modules import each other's in a circle."""
    files = dict(modules_of(src))
    graph = {}
    for name, path in files.items():
        into = {_room_of(target, files) for target in _imported(path, files)}
        graph.setdefault(_room_of(name, files), set()).update(into)
    graph.pop(None, None)
    return _circles({a: {b for b in graph[a] if b and b != a} for a in graph})


def _room_of(name, files):
    """Name the folder of a module; None for one that stands alone in the package."""
    room = ".".join(name.split(".")[:2])
    return room if room in files and files[room].name == "__init__.py" and "." in room else None


def _circles(graph):
    """Find what leads back to itself in a graph: name -> names."""
    reached = {name: _reach(graph, name) for name in graph}
    circles = {frozenset(b for b in reached[a] if a in reached[b]) for a in graph}
    return sorted(" <-> ".join(sorted(circle)) for circle in circles if circle)


def _imported(path, files):
    """List the modules of a package that a file imports; of `from room import module`, the module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            parts = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [part if part in files else node.module for part in parts]
        yield from (name for name in names if name in files)


def _reach(graph, start):
    """Give all modules that one leads to by imports; itself only where it lies on a circle."""
    found, open_ends = set(), [start]
    while open_ends:
        fresh = graph[open_ends.pop()] - found
        found |= fresh
        open_ends += fresh
    return found
