"""The README, the notebooks, the gallery and the documents as static pages: site/index.html, for any server or none.

Begins at README.md and follows every relative link, so that a page, a picture or a source that something links to is there;
then looks at every link of every page that was written. A link that leads nowhere is an error.
"""

import html
import html.parser
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote

import mistune
import nbformat
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import TextLexer, get_lexer_for_filename
from pygments.util import ClassNotFound

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "site"
FIGURES = "figures/desk"
HOME, GALLERY = "README.md", "gallery"
# Taken as they are: browsers show or save them.
PLAIN = {".png", ".svg", ".csv", ".json", ".jsonl", ".txt", ".ttf"}

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --faint: #59636e; --ground: #fff; --soft: #f3f5f7; --line: #d5dae0; --link: #0b57a4 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e3e6ea; --faint: #9aa4af; --ground: #14171b; --soft: #1e2329; --line: #3a424b; --link: #7ab8f5 }
}
* { box-sizing: border-box }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.55 system-ui, "DejaVu Sans", sans-serif }
nav { display: flex; flex-wrap: wrap; gap: .2em 1.1em; padding: .7em max(1rem, calc(50vw - 31rem)); background: var(--soft);
      border-bottom: 1px solid var(--line); font-size: .9em }
nav [aria-current] { color: var(--ink); font-weight: 600; text-decoration: none }
main { max-width: 64em; margin: 0 auto; padding: 1em 1em 4em }
a { color: var(--link) }
h1, h2, h3 { line-height: 1.25 }
h2 { margin-top: 2em; border-bottom: 1px solid var(--line) }
code, pre { font: .88em/1.45 ui-monospace, "DejaVu Sans Mono", monospace }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: 4px; padding: .6em .8em; overflow-x: auto; margin: .6em 0 }
p code, td code, li code { background: var(--soft); padding: .1em .25em; border-radius: 3px }
table { border-collapse: collapse; display: block; overflow-x: auto; max-width: 100%; margin: 1em 0; font-size: .92em }
th, td { padding: .25em .7em; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top }
img, .output svg, figure svg { max-width: 100%; height: auto; background: #fff; border-radius: 3px }
figure { margin: 2.5em 0 } figcaption, .faint { color: var(--faint); font-size: .92em }
.highlight { background: none } .output_area { margin: .6em 0; overflow-x: auto } .output_area pre { border: 0 }
.prompt, .anchor-link { display: none }
math[display=block] { margin: 1em 0; overflow-x: auto }
"""


def highlighting():
    """Colours of code for light and dark."""
    light, dark = (HtmlFormatter(style=style).get_style_defs(".highlight") for style in ("xcode", "monokai"))
    # The ground is the page's.
    light, dark = (re.sub(r"^\.highlight \{.*$|^pre \{.*$|^td\.linenos.*$|^span\.linenos.*$", "", css, flags=re.M) for css in (light, dark))
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n"


def address(path):
    """Where the page or file of a path of the repository lies in the site."""
    if path in (HOME, GALLERY):
        return "index.html" if path == HOME else "gallery.html"
    pure = PurePosixPath(path)
    if (ROOT / path).is_dir():
        return f"{path}/index.html"
    if pure.suffix in (".md", ".ipynb"):
        return str(pure.with_suffix(".html"))
    return path if pure.suffix in PLAIN else f"{path}.html"


def tracked(folder):
    done = subprocess.run(["git", "ls-files", "--", folder], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def slug(text):
    """The fragment of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", re.sub(r"<[^>]*>", "", text).lower()).strip().replace(" ", "-")


class Markdown(mistune.HTMLRenderer):
    def __init__(self):
        super().__init__(escape=False)

    def heading(self, text, level, **_):
        return f'<h{level} id="{slug(text)}">{text}</h{level}>\n'

    def block_code(self, code, info=None):
        name = (info or "text").split(",")[0]
        return coloured(code, f"code.{ {'rust': 'rs', 'python': 'py', 'fortran': 'f90'}.get(name, name) }")


MARKDOWN = mistune.create_markdown(renderer=Markdown(), plugins=["table", "strikethrough"])


def coloured(code, name):
    try:
        lexer = get_lexer_for_filename(name)
    except ClassNotFound:
        lexer = TextLexer()
    return highlight(code, lexer, HtmlFormatter())


def formulas(body):
    """MathML for what stands between dollars outside of code."""

    def made(match):
        block, inline = match.groups()
        text = re.sub(r"\\(math\w+) (\w)", r"\\\1{\2}", html.unescape(block or inline).strip())
        return convert(text, display="block" if block else "inline")

    parts = re.split(r"(<(pre|code|svg|script)\b.*?</\2>)", body, flags=re.S)
    # Of every three parts the first is text, the second code, the third its tag.
    for i in range(0, len(parts), 3):
        parts[i] = re.sub(r"\$\$(.+?)\$\$|\$([^$\n]+?)\$", made, parts[i], flags=re.S)
    return "".join(part for i, part in enumerate(parts) if i % 3 != 2)


def notebook(path):
    exporter = HTMLExporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True)
    body, _ = exporter.from_notebook_node(nbformat.read(ROOT / path, as_version=4))
    return formulas(body)


def gallery():
    """Every figure with its caption and where it comes from, then the tables."""
    entries = {}
    for line in (ROOT / FIGURES / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        entries[entry["file"]] = entry
    figures, tables = [], []
    for name, entry in sorted(entries.items()):
        path, stem, kind = f"{FIGURES}/{name}", *name.rsplit(".", 1)
        if not (ROOT / path).is_file():
            continue
        # What `lacuna run` makes comes from no notebook.
        name = entry.get("notebook")
        source = f'<a href="notebooks/{name}.ipynb">{name}</a>, ' if name else ""
        source += f'<code>{html.escape(entry["call"])}</code>'
        words = html.escape(entry["caption"])
        # A curve is there twice; the page shows the one that scales.
        if kind == "svg" or (kind == "png" and f"{stem}.svg" not in entries):
            shown = f'<a href="{path}"><img src="{path}" alt="{words}" loading="lazy"></a>'
            figures.append(f'<figure id="{stem}">{shown}<figcaption><b>{stem}.</b> {words}<br>{source}</figcaption></figure>')
        elif kind == "md":
            tables.append(f'<tr><td><a href="{path}">{stem}</a></td><td>{words}</td><td>{source}</td></tr>')
    head = f'<h1>Gallery</h1><p>Figures and tables of preset desk; <a href="{FIGURES}/index.md">the list of all files</a> says which results each was made from.</p>'
    return f'{head}{"".join(figures)}<h2 id="tables">Tables</h2><table><tr><th>table<th>shows<th>from</tr>{"".join(tables)}</table>'


def body_of(path):
    """The page of a path of the repository, links as in the repository."""
    if path == GALLERY:
        return gallery()
    file = ROOT / path
    if file.is_dir():
        names = sorted({PurePosixPath(name).relative_to(path).parts[0] for name in tracked(path)})
        links = "".join(f'<li><a href="{quote(name)}">{html.escape(name)}</a></li>' for name in names)
        return f"<h1>{html.escape(path)}</h1><ul>{links}</ul>"
    if file.suffix == ".ipynb":
        return notebook(path)
    text = file.read_text(encoding="utf-8")
    return MARKDOWN(text) if file.suffix == ".md" else f"<h1>{html.escape(path)}</h1>{coloured(text, path)}"


class Site:
    def __init__(self):
        notebooks = sorted(name for name in tracked("notebooks") if name.endswith(".ipynb"))
        self.menu = [(HOME, "lacuna"), (GALLERY, "gallery"), *((name, Path(name).stem) for name in notebooks)]
        self.found, self.problems = [path for path, _ in self.menu], []

    def target(self, page, link):
        """The path of the repository that a link on a page means, or none if there is nothing."""
        folder = "" if page in (HOME, GALLERY) else page if (ROOT / page).is_dir() else os.path.dirname(page)
        path = os.path.normpath(os.path.join(folder, unquote(link)))
        if path == ".":
            path = HOME
        for index in ("README.md", "index.md", "mod.rs"):
            if (ROOT / path / index).is_file():
                path = f"{path}/{index}"
        inside = not path.startswith("..") and (path in (HOME, GALLERY) or bool(tracked(path)))
        return path if inside else None

    def linked(self, page, body):
        """The page's body with links as in the site; what it links to is remembered."""
        here = os.path.dirname(address(page))

        def moved(match):
            kind, link, fragment = match[1], html.unescape(match[2]), match[3] or ""
            if re.match(r"[a-z]+:", link):
                return match[0]
            path = self.target(page, link)
            if path is None:
                self.problems.append(f"{page}: {link} is nowhere in the repository")
                return match[0]
            if path not in self.found:
                self.found.append(path)
            return f'{kind}="{html.escape(quote(os.path.relpath(address(path), here or ".")))}{fragment}"'

        return re.sub(r'\b(href|src)="([^"#]+)(#[^"]*)?"', moved, body)

    def page(self, path):
        up = "../" * address(path).count("/")
        links = (
            f'<a href="{up}{address(name)}"{" aria-current=page" if name == path else ""}>{label}</a>' for name, label in self.menu
        )
        title = dict(self.menu).get(path, path)
        return (
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
            f'<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="stylesheet" href="{up}style.css"></head>'
            f"<body><nav>{''.join(links)}</nav><main>{self.linked(path, body_of(path))}</main></body></html>\n"
        )

    def write(self, folder):
        # The list grows while pages are written.
        for path in self.found:
            out = folder / address(path)
            out.parent.mkdir(parents=True, exist_ok=True)
            if out.suffix == ".html":
                out.write_text(self.page(path), encoding="utf-8")
            else:
                shutil.copyfile(ROOT / path, out)
        (folder / "style.css").write_text(STYLE + highlighting(), encoding="utf-8")


class Links(html.parser.HTMLParser):
    """Links and fragments of a page that was written."""

    def __init__(self, path):
        super().__init__()
        self.links, self.ids = set(), set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.ids.add(values.get("id"))
        self.links.update(values[name] for name in ("href", "src") if values.get(name))


def dead(folder):
    """Links of the pages in a folder that lead nowhere."""
    pages = {path: Links(path) for path in sorted(folder.rglob("*.html"))}
    for path, page in pages.items():
        for link in sorted(page.links):
            file, _, fragment = link.partition("#")
            if re.match(r"[a-z]+:", link):
                continue
            target = Path(os.path.normpath(path.parent / unquote(file))) if file else path
            if not target.is_file():
                yield f"{path.relative_to(folder)}: {link} leads nowhere"
            elif fragment and target in pages and unquote(fragment) not in pages[target].ids:
                yield f"{path.relative_to(folder)}: {link}: no such heading"


def main():
    site, new = Site(), SITE.with_suffix(".tmp")
    shutil.rmtree(new, ignore_errors=True)
    site.write(new)
    problems = site.problems + list(dead(new))
    if problems:
        sys.exit("site: " + "\n      ".join(dict.fromkeys(problems)))
    shutil.rmtree(SITE, ignore_errors=True)
    new.rename(SITE)
    print(f"site: {len(site.found)} pages and files, no dead link; open {SITE / 'index.html'}")


if __name__ == "__main__":
    main()
