"""
Make the root file system of the image: CPython, what was installed, and the shared libraries that these load.

It runs in the build stage of the Containerfile, on the Python of the base image, with nothing but the standard library.
Nothing else of the base image gets into the image: no shell, no package manager, no pip, no setuid program.

Usage: assemble.py INSTALLED ROOT, with SOURCE_DATE_EPOCH in the environment, the time of all files.
"""

from __future__ import annotations

import compileall
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from py_compile import PycInvalidationMode

# What no server needs of the standard library: tests, windows, a terminal, databases, installers, headers.
_LEFT_OUT = shutil.ignore_patterns(
    *("__pycache__", "config-*", "curses", "dist-packages", "ensurepip", "idlelib", "lib2to3", "pydoc_data"),
    *("site-packages", "sitecustomize.py", "sqlite3", "test", "tkinter", "turtle.py", "turtledemo", "venv"),
    *(
        "_curses*.so",
        "_dbm.*.so",
        "_gdbm.*.so",
        "_sqlite3.*.so",
        "_test*.so",
        "_tkinter.*.so",
        "readline.*.so",
        "xx*.so",
    ),
)
_BYTECODE = shutil.ignore_patterns("__pycache__")
# Read by the libraries: OpenSSL's defaults (with a link that names them), and the folders of the dynamic linker.
_SETTINGS = ("/usr/lib/ssl/openssl.cnf", "/etc/ld.so.conf")
_LINKER_FOLDERS = Path("/etc/ld.so.conf.d")
_WRITTEN = {
    "etc/passwd": "userquota:x:65532:65532::/nonexistent:/nonexistent\n",
    "etc/group": "userquota:x:65532:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
_DPKG = Path("/var/lib/dpkg")


class AssemblyError(Exception):
    """Something that the image needs is missing."""


def main() -> None:
    """Assemble the image of the two arguments; what has no place yet in ROOT is added."""
    installed, root = Path(sys.argv[1]), Path(sys.argv[2])
    _copy_tree(Path(sysconfig.get_path("stdlib")).resolve(), root, _LEFT_OUT)
    _copy_tree(installed, root, _BYTECODE)
    for path in (_under(root, installed) / "bin").iterdir():  # scripts of dependencies, and for shells
        if not path.name.startswith("python") and path.name != "userquota":
            path.unlink()
    for path in (Path(sys.executable), *map(Path, _SETTINGS), *_LINKER_FOLDERS.glob("*.conf")):
        _copy_file(path, root)
    libraries = sorted({library for program in _programs(root) for library in _loaded_by(program, root)})
    for library in libraries:
        _copy_file(Path(library), root)
    for name, text in _WRITTEN.items():
        (root / name).write_text(text)
    for name in ("dev", "proc", "sys", "tmp"):
        (root / name).mkdir()  # runtimes mount there, or make them
    _tell_scanners(root)
    _compile(root)
    # libraries outside of the dynamic linker's own folders are found by this index only
    subprocess.run(["ldconfig", "-X", "-r", str(root)], check=True)  # noqa: S603, S607 - of the base image
    shutil.rmtree(root / "var/cache", ignore_errors=True)  # ldconfig's, with times of files
    _normalize(root, int(os.environ["SOURCE_DATE_EPOCH"]))


def _under(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def _copy_tree(folder: Path, root: Path, left_out: object) -> None:
    shutil.copytree(folder, _under(root, folder), symlinks=True, ignore=left_out, dirs_exist_ok=True)  # type: ignore[arg-type]


def _copy_file(path: Path, root: Path) -> None:
    """
    Copy a file to the same place under *root*; nothing where there is none.

    Links on the way are made there too, as /lib64 is one on Debian, and what they name is copied.
    """
    if not path.exists():
        return
    for place in (*reversed(path.parents), path):
        if place.is_symlink():
            link = _under(root, place)
            if not link.is_symlink():
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(place.readlink())
            _copy_file(place.parent.joinpath(place.readlink(), path.relative_to(place)), root)
            return
    target = _under(root, Path(os.path.normpath(path)))
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, target)


def _programs(root: Path) -> Iterator[Path]:
    """Yield every program and shared library under *root*."""
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                if file.read(4) == b"\x7fELF":
                    yield path


def _loaded_by(program: Path, root: Path) -> Iterator[str]:
    """Yield the paths of the libraries that a program loads, asked of it where it is installed."""
    place = Path("/") / program.relative_to(root)
    done = subprocess.run(["ldd", str(place)], capture_output=True, text=True, check=False)  # noqa: S603, S607
    if "statically linked" in done.stdout or "not a dynamic executable" in done.stderr:
        return
    if done.returncode or "not found" in done.stdout:
        raise AssemblyError(f"{place} lacks a library:\n{done.stdout}{done.stderr}")
    for line in done.stdout.splitlines():
        path = line.partition("=>")[2].split() or line.split()
        if path[0].startswith("/") and not _under(root, Path(path[0])).exists():
            yield path[0]


def _tell_scanners(root: Path) -> None:
    """Record which Debian packages the files come from, where scanners of images look for it, with their licences."""
    present = {
        str(path.resolve()) for each in root.rglob("*") if (path := Path("/") / each.relative_to(root)).is_file()
    }
    stanzas = (_DPKG / "status").read_text().split("\n\n")
    by_name = {fields["Package"]: stanza for stanza in stanzas if (fields := _fields(stanza)) and "Package" in fields}
    for name, stanza in sorted(by_name.items()):
        lists = [*(_DPKG / "info").glob(f"{name}.list"), *(_DPKG / "info").glob(f"{name}:*.list")]
        owned = {str(Path(line).resolve()) for each in lists for line in each.read_text().splitlines()}
        if any(Path(each).is_file() for each in owned & present):
            told = root / "var/lib/dpkg/status.d" / name
            told.parent.mkdir(parents=True, exist_ok=True)
            told.write_text(f"{stanza.strip()}\n")
            _copy_file(Path("/usr/share/doc") / name / "copyright", root)


def _fields(stanza: str) -> dict[str, str]:
    pairs = (line.partition(": ") for line in stanza.splitlines() if not line.startswith(" "))
    return {name: value for name, _, value in pairs}


def _compile(root: Path) -> None:
    """Compile all modules: the root file system is read-only at run time. Bytecode has a hash, no time of a file."""
    for folder in [path for path in sorted(root.rglob("python3*")) if path.is_dir() and path.parent.name == "lib"]:
        shown = f"/{folder.relative_to(root)}"
        done = compileall.compile_dir(
            folder,
            maxlevels=50,
            stripdir=str(folder),
            prependdir=shown,
            quiet=1,
            force=True,
            invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
        )
        if not done:
            raise AssemblyError(f"{shown} cannot be compiled")


def _normalize(root: Path, time: int) -> None:
    """Give all files one time, and modes that do not depend on the umask of a checkout; no link may lead nowhere."""
    for path in sorted(root.rglob("*"), reverse=True):
        if path.is_symlink():
            if not _is_reachable(path, root):
                raise AssemblyError(f"{path} leads nowhere: {path.readlink()}")
        elif path.is_dir() or path.stat().st_mode & 0o111:
            path.chmod(0o755)
        else:
            path.chmod(0o644)
        os.utime(path, (time, time), follow_symlinks=False)
    root.chmod(0o755)
    os.utime(root, (time, time))


def _is_reachable(link: Path, root: Path) -> bool:
    """Whether what a link names, followed as if *root* were the root, is there; links in folders above count too."""
    named = link.readlink()
    target = _under(root, named) if named.is_absolute() else Path(os.path.normpath(link.parent / named))
    return target.exists() or (target.is_symlink() and _is_reachable(target, root))


if __name__ == "__main__":
    main()
