"""What the documentation site has beside the pages of docs/: a page of each public name, the files that pages link to.

A hook of mkdocs (mkdocs.yml). On GitHub a page links to ``../benchmarks/results/x.json``; the site gets a copy of it
below ``repository/`` and the link leads there. So the site is whole, with no address of a server in it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import vitas_hw

ROOT = Path(__file__).parent.parent
COPIES = "repository"
NAMES = "<!-- public names -->"
_LINK = re.compile(r"(?<=\]\()(?!\w+:)([^)#\s]+)")  # where a link leads: no address, no anchor
_HTML = re.compile(r"""(?:(?<=src=")|(?<=srcset=")|(?<=href="))(?!\w+:)([^"#\s]+)""")  # the same in HTML
_PICTURE = re.compile(  # for either colour scheme of the system; the site has a switch of its own
    r'<picture>\s*<source media="\(prefers-color-scheme: dark\)" srcset="([^"]*)">\s*<img src="([^"]*)"([^>]*)>\s*'
    r"</picture>"
)
_BADGE = re.compile(r"\[!\[([^]]*)\]\(https?://[^)]*\)\]\(([^)]*)\)")  # an image that another server draws
_CODE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages of the public names, and every file outside docs/ that a page links to, theirs included."""
    for name in vitas_hw.__all__:
        files.append(File.generated(config, f"api/{name}.md", content=f"::: vitas_hw.{name}\n"))
    waiting = [place_of(file.src_uri) for file in files.documentation_pages() if not file.src_uri.startswith("api/")]
    known = set(waiting)
    while waiting:
        place = waiting.pop()
        for found in outside(text_of(place), place):
            if found not in known:
                known.add(found)
                files.append(copy_of(found, config))
                if found.endswith(".md") or (ROOT / found).is_dir():
                    waiting.append(found)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001  # mkdocs' order
    """The page with its links leading to the copies, and with the table of public names."""
    uri = page.file.src_uri
    place = place_of(uri)

    def inside(found: re.Match[str]) -> str:
        target = resolved(found[1], place)
        return posixpath.relpath(uri_of(target), posixpath.dirname(uri)) if target else found[1]

    parts = _CODE.split(markdown)  # every second one is code
    parts[::2] = [_HTML.sub(inside, _LINK.sub(inside, _BADGE.sub(r"[\1](\2)", part))) for part in parts[::2]]
    parts[::2] = [_PICTURE.sub(r'<img src="\2#only-light"\3><img src="\1#only-dark"\3>', part) for part in parts[::2]]
    return "".join(parts).replace(NAMES, names_table() if NAMES in markdown else "")


def names_table() -> str:
    """Every public name with the first sentence of its docstring, read without importing what it loads."""
    loader = griffe.GriffeLoader(search_paths=[str(ROOT)])
    package = loader.load("vitas_hw", submodules=True)
    loader.resolve_aliases(implicit=True)
    rows = []
    for name in vitas_hw.__all__:
        docstring = package[name].docstring
        assert docstring is not None, f"{name} has no docstring"
        first = " ".join(docstring.value.split("\n\n")[0].split()).replace("|", "\\|")
        rows.append(f"| [`{name}`](api/{name}.md) | {first} |")
    return "\n".join(["| name | what |", "|---|---|", *rows])


def place_of(uri: str) -> str:
    """Where in the repository the file of a page lies."""
    return uri.removeprefix(f"{COPIES}/") if uri.startswith(f"{COPIES}/") else f"docs/{uri}"


def uri_of(place: str) -> str:
    """Where in the site a file of the repository lies; a folder is a list of its files."""
    inside = place.removeprefix("docs/") if place.startswith("docs/") else f"{COPIES}/{place}"
    return f"{inside}/README.md" if (ROOT / place).is_dir() else inside


def resolved(link: str, place: str) -> str:
    """The file or folder of the repository that a link of the file at ``place`` means; "" if there is none."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(place), link))
    if target.startswith("..") or not (ROOT / target).exists():
        return ""
    return f"{target}/README.md" if (ROOT / target / "README.md").exists() else target


def text_of(place: str) -> str:
    """A page as Markdown; of a folder a list of all files in it."""
    path = ROOT / place
    if not path.is_dir():
        return path.read_text(encoding="utf-8")
    files = [file.relative_to(path) for file in sorted(path.rglob("*")) if file.is_file()]
    names = [file.as_posix() for file in files if not any(part.startswith((".", "__")) for part in file.parts)]
    return "\n".join([f"# {place}", "", *(f"- [{name}]({name})" for name in names), ""])


def outside(text: str, place: str) -> Iterator[str]:
    """The files and folders outside docs/ that a page links to."""
    for part in _CODE.split(text)[::2]:
        for link in (*_LINK.findall(part), *_HTML.findall(part)):
            target = resolved(link, f"{place}/README.md" if (ROOT / place).is_dir() else place)
            if target and not target.startswith("docs/"):
                yield target


def copy_of(place: str, config: MkDocsConfig) -> File:
    """A file of the site: a page's text, or a copy of the file as it is."""
    if place.endswith(".md") or (ROOT / place).is_dir():
        return File.generated(config, uri_of(place), content=text_of(place))
    return File.generated(config, uri_of(place), abs_src_path=str(ROOT / place))
