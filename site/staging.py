"""Update the folder of sources that Sphinx reads: write changed files and remove obsolete files."""

from pathlib import Path


class Stage:
    """The files of a build in `folder`; `sweep` removes files of earlier builds that were not written again."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.kept: set[Path] = set()

    def write(self, name: str, content: str | bytes) -> None:
        """Write `content` to the file `name` unless it is unchanged, because Sphinx compares modification times."""
        file = self.folder / name
        content = content.encode() if isinstance(content, str) else content
        self.kept.add(file)
        if not file.exists() or file.read_bytes() != content:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

    def tree(self, source: Path, target: str) -> None:
        """Copy all files in the folder `source` to the folder `target` of the stage."""
        for file in sorted(source.rglob("*")):
            if file.is_file():
                self.write(f"{target}/{file.relative_to(source).as_posix()}", file.read_bytes())

    def keep(self, *files: Path) -> None:
        """Mark files that were written by other functions, so that `sweep` does not remove them."""
        self.kept.update(files)

    def sweep(self) -> None:
        current = {file.resolve() for file in self.kept}
        for file in sorted(self.folder.rglob("*"), reverse=True):
            if file.is_file() and file.resolve() not in current:
                file.unlink()
            elif file.is_dir() and not any(file.iterdir()):
                file.rmdir()
