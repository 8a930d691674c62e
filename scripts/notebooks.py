"""Run the notebooks headless, check them, and keep what is up to date.

    notebooks.py run --preset smoke [--force] [NAME ...]   execute what changed, then check it
    notebooks.py publish --preset desk                     write the outputs into notebooks/*.ipynb for committing
    notebooks.py stale [--strict]                          committed outputs older than their inputs?

A Rust notebook can fail without an error: evcxr answers `ok` when an error leaves a cell through `?`, and a notebook
cut short looks complete. So a run counts only if every cell succeeded, nothing unexpected was written to stderr, the
last cell printed the sentinel, every output declared in the notebook's metadata (`lacuna.outputs`) lies in the
figures folder with a manifest line that has its checksum, and the results that it was made from are there.

A notebook whose metadata say `lacuna.learn` loads burn into its kernel. That kernel takes minutes to compile once, and such
notebooks share one of their own; `run` leaves them out unless they are named or --all is given.

A notebook whose metadata name a `lacuna.preset` is about that preset: it runs for no other, and no other runs for it.
"""

import argparse
import atexit
import fcntl
import hashlib
import json
import os
import queue
import re
import resource
import statistics
import sys
import time
from pathlib import Path

import nbformat
from jupyter_client import AsyncKernelManager
from jupyter_client.utils import ensure_async
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
CACHE = ROOT / ".cache" / "notebooks"
SENTINEL = "lacuna: notebook complete"
# What every notebook begins with here: nothing known from the one before, and a panic fails its cell.
OPENING = (":clear", ":preserve_vars_on_panic 0")
# What cargo says while it compiles a cell's dependencies; anything else on stderr fails the notebook.
STDERR_ALLOWED = re.compile(
    r"^\s*(Compiling|Building|Checking|Fresh|Finished|Blocking|Updating|Locking|Adding|Downloading|Downloaded|"
    r"Installing|Removing|Dirty|Running)\b.*$|^\s*$"
)
STARTUP_TIMEOUT = 600
# Seconds of silence after a cell's reply before its stderr counts as complete, and the same at the end of a notebook.
GRACE = 0.25
LAST_GRACE = 1.0
# Longest a single cell may take; a preset that trains for hours raises it with --timeout.
CELL_TIMEOUT = 3 * 3600
# What the result depends on besides the notebook itself and the preset.
CRATE_INPUTS = ("src/**/*", "crates/*/Cargo.toml", "crates/*/src/**/*", "assets/**/*", "Cargo.toml", "Cargo.lock", "notebooks/evcxr.toml", ".cargo/*")


class UnexpectedStderr(Exception):
    """A cell wrote to stderr something that is not compiler progress."""


def strip_ansi(text):
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def unexpected_stderr(cell):
    """Lines on a cell's stderr that no compiler wrote."""
    lines = []
    for output in cell.get("outputs", []):
        if output.output_type == "stream" and output.name == "stderr":
            lines += [line for line in strip_ansi(output.text).splitlines() if not STDERR_ALLOWED.match(line)]
    return lines


class Times:
    """How a kernel feels: from its start to the first picture, and the cells after that which computed nothing."""

    def __init__(self):
        self.start = time.monotonic()
        self.picture = None
        self.ordinary = []

    def shown(self, data):
        if self.picture is None and any(kind.startswith("image/") for kind in data):
            self.picture = time.monotonic() - self.start

    def ran(self, cell, seconds):
        """A cell counts as ordinary if it loads nothing and reports no progress: that comes on standard output."""
        said = "".join(output.text for output in cell.outputs if output.get("name") == "stdout")
        loads = cell.source.lstrip().startswith((":dep", "use "))
        if self.picture is not None and not loads and not said.replace(SENTINEL, "").strip():
            self.ordinary.append((seconds, first_line(cell)))

    def report(self):
        lines = []
        if self.picture is not None:
            lines.append(f"kernel start to first picture: {self.picture:.1f} s")
        if self.ordinary:
            worst, source = max(self.ordinary)
            median = statistics.median(seconds for seconds, _ in self.ordinary)
            lines.append(f"ordinary cells ({len(self.ordinary)}): median {median:.1f} s, longest {worst:.1f} s ({source})")
        return lines


def first_line(cell):
    return next((line for line in cell.source.splitlines() if line.strip()), "")[:88]


class Client(NotebookClient):
    """nbclient that shows a cell's output while it runs, and stops at the first cell that complains."""

    verbose = True
    times = None

    async def late_output(self, cell, grace):
        """Append to `cell` what the kernel passes on after its reply: evcxr forwards stderr by a thread of its own."""
        while True:
            try:
                message = await ensure_async(self.kc.get_iopub_msg(timeout=grace))
            except queue.Empty:
                return
            if message["msg_type"] == "stream":
                cell.outputs.append(nbformat.v4.output_from_msg(message))

    def output(self, outs, msg, display_id, cell_index):
        content = msg["content"]
        if self.times and "data" in content:
            self.times.shown(content["data"])
        if self.verbose and msg["msg_type"] == "stream":
            for line in strip_ansi(content["text"]).splitlines():
                print(f"    | {line}", flush=True)
        return super().output(outs, msg, display_id, cell_index)


class Session:
    """A kernel for several notebooks, one after the other.

    Most of a kernel's start is spent on reading the crate's dependencies. `:clear` forgets all variables and starts the
    process behind the kernel anew, but keeps what was read, so the notebooks after the first start in seconds. A notebook
    that failed takes its kernel with it.
    """

    def __init__(self):
        self.manager = self.client = None
        self.times = Times()

    def prepare(self, client):
        """Give `client` this session's kernel, cleared, and strict: people's kernels keep their variables after a panic."""
        if self.manager is None or not self.manager.has_kernel:
            self.manager, self.client = AsyncKernelManager(kernel_name="rust"), None
            self.times.start = time.monotonic()
        client.km, client.kc, client.owns_km = self.manager, self.client, False
        client.times = self.times
        first = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(command) for command in OPENING])
        opening = NotebookClient(first, km=client.km, kernel_name="rust", timeout=STARTUP_TIMEOUT, startup_timeout=STARTUP_TIMEOUT, resources=client.resources)
        opening.kc = client.kc
        opening.execute()
        client.kc = self.client = opening.kc

    def close(self):
        if self.manager is not None and self.manager.has_kernel:
            closing = NotebookClient(nbformat.v4.new_notebook(), km=self.manager)
            closing.kc = self.client
            closing._cleanup_kernel()
        self.manager = self.client = None


def execute(notebook, *, cwd=NOTEBOOKS, environment=None, timeout=CELL_TIMEOUT, verbose=True, session=None, name=""):
    """Execute `notebook` in place. Returns the problems met, none if every cell succeeded in silence.

    With a `session` its kernel is used and kept; otherwise the notebook has one of its own. The library is told
    by a file which cell of the notebook `name` runs, for the index of figures.
    """
    problems = []
    started = {}
    numbers = {}
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            numbers[index] = len(numbers) + 1
    CACHE.mkdir(parents=True, exist_ok=True)
    running = CACHE / f"cell-{os.getpid()}.json"
    atexit.register(running.unlink, missing_ok=True)

    def before(cell, cell_index):
        if cell_index in numbers:
            running.write_text(json.dumps({"notebook": name, "cell": numbers[cell_index]}), encoding="utf-8")
        started[cell_index] = time.monotonic()

    last = max((index for index, cell in enumerate(notebook.cells) if cell.cell_type == "code"), default=0)

    async def after(cell, cell_index, execute_reply):
        if cell.cell_type != "code":
            return
        seconds = time.monotonic() - started.get(cell_index, time.monotonic())
        await client.late_output(cell, LAST_GRACE if cell_index == last else GRACE)
        if verbose:
            print(f"  [{numbers.get(cell_index, 0):2}] {seconds:7.1f} s  {first_line(cell)}", flush=True)
        if client.times:
            client.times.ran(cell, seconds)
        lines = unexpected_stderr(cell)
        if lines:
            raise UnexpectedStderr(f"cell {cell_index} wrote to stderr:\n      " + "\n      ".join(lines[:20]))

    client = Client(
        notebook,
        timeout=timeout,
        startup_timeout=STARTUP_TIMEOUT,
        record_timing=True,
        kernel_name="rust",
        resources={"metadata": {"path": str(cwd)}},
        on_cell_execute=before,
        on_cell_executed=after,
    )
    client.verbose = verbose
    saved = dict(os.environ)
    os.environ.update(environment or {})
    os.environ["LACUNA_CELL_FILE"] = str(running)
    kept = session or Session()
    try:
        kept.prepare(client)
        client.execute()
    except UnexpectedStderr as error:
        problems.append(str(error))
    except CellExecutionError as error:
        problems.append("a cell failed:\n      " + strip_ansi(str(error)).strip().replace("\n", "\n      "))
    except CellTimeoutError as error:
        problems.append(f"a cell ran longer than {timeout} s: {str(error).splitlines()[0]}")
    except DeadKernelError as error:
        problems.append(f"the kernel died: {error}")
    finally:
        if problems or not session:
            kept.close()
        os.environ.clear()
        os.environ.update(saved)
    return problems


def manifest_hashes(figures):
    """File name -> sha256, from every line of the manifest; the last line about a file counts."""
    found = {}

    def visit(value):
        if isinstance(value, list):
            for item in value:
                visit(item)
        elif isinstance(value, dict):
            digest = value.get("sha256")
            name = next((value[key] for key in ("file", "path", "name") if isinstance(value.get(key), str)), None)
            if isinstance(digest, str) and name:
                found[Path(name).name] = digest
            for key, item in value.items():
                if isinstance(item, str) and re.fullmatch(r"[0-9a-f]{64}", item) and "." in key:
                    found[Path(key).name] = item
                visit(item)

    manifest = figures / "manifest.jsonl"
    if manifest.exists():
        for number, line in enumerate(manifest.read_text(encoding="utf-8").splitlines(), 1):
            try:
                visit(json.loads(line))
            except json.JSONDecodeError as error:
                raise SystemExit(f"{manifest}:{number}: not JSON: {error}") from error
    return found


def manifest_parents(figures):
    """File name -> folders of the results that it was made from."""
    manifest = figures / "manifest.jsonl"
    if not manifest.exists():
        return {}
    lines = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    return {line["file"]: line.get("parents", []) for line in lines if "file" in line}


def check(notebook, figures, data):
    """Problems of an executed notebook: everything a green run must not have."""
    problems = []
    cells = code_cells(notebook)
    if not cells:
        return ["no code cells"]
    for index, cell in enumerate(cells):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                problems.append(f"code cell {index}: {output.ename}: {output.evalue}")
        lines = unexpected_stderr(cell)
        if lines:
            problems.append(f"code cell {index}: stderr: {lines[0]}")
        if cell.get("execution_count") is None:
            problems.append(f"code cell {index} did not run")
    last = "".join(output.text for output in cells[-1].get("outputs", []) if output.get("name") == "stdout")
    if SENTINEL not in last:
        problems.append(f"the last cell did not print `{SENTINEL}`")

    known, parents = manifest_hashes(figures), manifest_parents(figures)
    for name in notebook.metadata.get("lacuna", {}).get("outputs", []):
        path = figures / name
        if Path(name).name != name:
            problems.append(f"declared output {name} is no name of a file in {show(figures)}")
        elif not path.is_file() or path.stat().st_size == 0:
            problems.append(f"declared output {name} is missing in {show(figures)}")
        elif name not in known:
            problems.append(f"declared output {name} has no line in {show(figures / 'manifest.jsonl')}")
        elif known[name] != sha256(path):
            problems.append(f"declared output {name} differs from its manifest line")
        for parent in parents.get(name, []):
            if not (data / parent / "artifact.json").is_file():
                problems.append(f"declared output {name} was made from {parent}, which is missing in {show(data)}")
    return problems


def show(path):
    path = Path(path)
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def cells_hash(notebook):
    text = json.dumps([[cell.cell_type, cell.source] for cell in notebook.cells])
    outputs = json.dumps(notebook.metadata.get("lacuna", {}).get("outputs", []))
    return hashlib.sha256((text + outputs).encode()).hexdigest()


def crate_hash():
    """Hash of everything in the crate that can change a result."""
    digest = hashlib.sha256()
    for pattern in CRATE_INPUTS:
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file():
                digest.update(show(path).encode() + b"\0" + sha256(path).encode() + b"\n")
    return digest.hexdigest()


def data_folder():
    return Path(os.environ.get("LACUNA_OUT") or ROOT / "data").resolve()


def figures_folder(preset):
    return Path(os.environ.get("LACUNA_FIGURES") or ROOT / "figures" / preset).resolve()


def finished(path):
    """Whether a file below the results folder belongs to a finished result."""
    return path.name not in ("README.md", "manifest.jsonl") and path.suffix != ".lock" and ".partial" not in str(path)


def artifacts(folder):
    """Relative path -> size of every finished artifact file below `folder`."""
    return {
        str(path.relative_to(folder)): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file() and finished(path)
    }


def sources(names):
    found = sorted(path for path in NOTEBOOKS.glob("*.ipynb"))
    if names:
        found = [path for path in found if path.stem in names or path.name in names]
    if not found:
        raise SystemExit("no such notebook")
    return found


def chosen(names, preset):
    """The notebooks of a preset, with their files: those that name it, otherwise those that name none."""
    notebooks = [(source, nbformat.read(source, as_version=4)) for source in sources(names)]
    groups = {}
    for source, notebook in notebooks:
        groups.setdefault(notebook.metadata.get("lacuna", {}).get("preset"), []).append((source, notebook))
    found = groups.get(preset) or groups.get(None)
    if not found:
        raise SystemExit(f"{', '.join(source.stem for source, _ in notebooks)}: of preset {next(iter(groups))}, not of {preset}")
    return found


def needs_learn(notebook):
    return bool(notebook.metadata.get("lacuna", {}).get("learn"))


def alone(preset):
    """The lock on the runs of a preset, which falls with this process; waits for another that holds it."""
    folder = CACHE / preset
    folder.mkdir(parents=True, exist_ok=True)
    lock = open(folder / "run.lock", "w", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        print(f"figures ({preset}): waiting for the run that is at it", flush=True)
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def run(arguments):
    preset, figures, data = arguments.preset, figures_folder(arguments.preset), data_folder()
    lock = alone(preset)
    crate = crate_hash()
    failed, done = [], 0
    sessions = {False: Session(), True: Session()}
    for session in sessions.values():
        atexit.register(session.close)
    notebooks = chosen(arguments.names, preset)
    # Those that load burn come last, so that the others share one kernel.
    for source, notebook in sorted(notebooks, key=lambda pair: needs_learn(pair[1])):
        if needs_learn(notebook) and not (arguments.all or arguments.names):
            print(f"{source.stem}: left out, it loads the learning layer (make notebooks runs it)")
            continue
        # One kernel at a time: a second one would compile in a build folder of its own.
        session = sessions[needs_learn(notebook)]
        sessions[not needs_learn(notebook)].close()
        folder = CACHE / preset
        stamp, executed = folder / f"{source.stem}.json", folder / source.name
        inputs = {"cells": cells_hash(notebook), "crate": crate, "data": str(data), "figures": str(figures)}
        if not arguments.force and up_to_date(stamp, executed, inputs, figures, data):
            print(f"{source.stem}: up to date ({preset})")
            continue
        print(f"{source.stem}: running at preset {preset}", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        stamp.unlink(missing_ok=True)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        environment = {
            "LACUNA_PRESET": preset,
            "LACUNA_OUT": str(data),
            "LACUNA_FIGURES": str(figures),
        }
        begin = time.monotonic()
        problems = execute(
            notebook, environment=environment, timeout=arguments.timeout, session=session, name=source.stem
        )
        seconds = time.monotonic() - begin
        nbformat.write(notebook, executed)
        problems = problems or check(notebook, figures, data)
        done += 1
        if problems:
            failed.append(source.stem)
            print(f"{source.stem}: FAILED after {seconds:.1f} s; the run is kept in {show(executed)}", file=sys.stderr)
            for problem in problems:
                print(f"    {problem}", file=sys.stderr)
            continue
        outputs = notebook.metadata.get("lacuna", {}).get("outputs", [])
        record = {
            "inputs": inputs,
            "outputs": {name: sha256(figures / name) for name in outputs},
            "artifacts": artifacts(data),
            "seconds": round(seconds, 1),
        }
        temporary = stamp.with_suffix(".tmp")
        temporary.write_text(json.dumps(record, indent=1), encoding="utf-8")
        os.replace(temporary, stamp)
        print(f"{source.stem}: done in {seconds:.1f} s, {len(outputs)} outputs in {show(figures)}", flush=True)
    for learn, session in sessions.items():
        session.close()
        for line in session.times.report():
            print(f"figures ({preset}): {'with burn: ' if learn else ''}{line}")
    if done:
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"figures ({preset}): {done} notebooks, largest process {peak:.0f} MiB")
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")
    if done == 0:
        print(f"figures ({preset}): up to date, nothing recomputed")


def up_to_date(stamp, executed, inputs, figures, data):
    """Same inputs, and every output and artifact of that run still as it was left."""
    if not stamp.exists() or not executed.exists():
        return False
    try:
        record = json.loads(stamp.read_text(encoding="utf-8"))
        made, outputs = record["artifacts"].items(), record["outputs"].items()
        if record["inputs"] != inputs:
            return False
    except (ValueError, LookupError, TypeError, AttributeError):
        return False  # damaged: the notebook runs again
    present = artifacts(data)
    if any(present.get(path) != size for path, size in made):
        return False
    return all((figures / name).is_file() and sha256(figures / name) == digest for name, digest in outputs)


def without_local_paths(text):
    """Text of an output as any reader's machine would have written it."""
    return text.replace(f"{ROOT}/", "").replace(str(ROOT), ".")


def clean(notebook, preset, inputs):
    """An executed notebook as it is committed: no local paths, no times of day, and what it was made from."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            output.get("metadata", {}).pop("execution", None)
            if output.output_type == "stream":
                output.text = without_local_paths(strip_ansi(output.text))
            for kind, value in output.get("data", {}).items():
                if isinstance(value, str) and kind != "image/png":
                    output.data[kind] = without_local_paths(value)
            if "image/png" in output.get("data", {}) and "text/plain" in output.data:
                # What pages made of notebooks give to readers who do not see the picture.
                output.metadata.setdefault("image/png", {})["alt"] = output.data["text/plain"]
        if cell.cell_type == "code":
            cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
    notebook.metadata.setdefault("lacuna", {})["executed"] = {"preset": preset, **inputs}
    return notebook


def publish(arguments):
    for source, _ in chosen(arguments.names, arguments.preset):
        executed = CACHE / arguments.preset / source.name
        stamp = executed.with_suffix(".json")
        if not executed.exists() or not stamp.exists():
            raise SystemExit(f"{source.stem} has not run at preset {arguments.preset}: make figures PRESET={arguments.preset}")
        inputs = json.loads(stamp.read_text(encoding="utf-8"))["inputs"]
        notebook = nbformat.read(executed, as_version=4)
        clean(notebook, arguments.preset, {key: inputs[key] for key in ("cells", "crate")})
        outputs = json.dumps([cell.get("outputs", []) for cell in notebook.cells])
        for path in (str(ROOT), str(Path.home()), "/tmp/"):
            if path in outputs:
                raise SystemExit(f"{source.stem}: an output contains the local path {path}")
        partial = source.with_suffix(".partial")
        nbformat.write(notebook, partial)
        os.replace(partial, source)
        print(f"{show(source)}: outputs of preset {arguments.preset}")


def staleness(notebook, crate):
    """Why a notebook's committed outputs are stale; None if they are fresh."""
    executed = notebook.metadata.get("lacuna", {}).get("executed")
    if executed is None:
        return "no outputs"
    if executed["cells"] != cells_hash(notebook):
        return "outputs of other cells"
    if executed["crate"] != crate:
        return "outputs of an earlier version of the crate"
    return None


def stale(arguments):
    """Names every notebook with stale outputs, and what of figures/ it makes; fails if strict."""
    crate, found = crate_hash(), []
    for source in sources(arguments.names):
        notebook = nbformat.read(source, as_version=4)
        reason = staleness(notebook, crate)
        if reason is None:
            print(f"{source.stem}: fresh ({notebook.metadata.lacuna.executed.preset})")
            continue
        found.append(source.stem)
        print(f"{source.stem}: STALE, {reason}")
        outputs = notebook.metadata.get("lacuna", {}).get("outputs", [])
        if outputs:
            print(f"    with it: {', '.join(outputs)}")
    if found:
        print(f"stale: {len(found)} of {len(sources(arguments.names))} notebooks; refresh with `make notebooks`")
        if arguments.strict:
            raise SystemExit(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, function in (("run", run), ("publish", publish), ("stale", stale)):
        command = commands.add_parser(name)
        command.set_defaults(function=function)
        command.add_argument("names", nargs="*", metavar="NAME", help="notebooks, all by default")
        if name != "stale":
            command.add_argument("--preset", default=os.environ.get("LACUNA_PRESET", "desk"))
        if name == "run":
            command.add_argument("--all", action="store_true", help="also those that load the learning layer")
            command.add_argument("--force", action="store_true", help="run even what is up to date")
            command.add_argument("--timeout", type=int, default=CELL_TIMEOUT, help="seconds a cell may take")
        if name == "stale":
            command.add_argument("--strict", action="store_true", help="exit with 1 if anything is stale")
    arguments = parser.parse_args()
    arguments.function(arguments)


if __name__ == "__main__":
    main()
