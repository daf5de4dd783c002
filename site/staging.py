"""The folder of sources that Sphinx reads: changed files are written, obsolete ones are removed."""

from pathlib import Path


class Stage:
    """Files under `folder`; `sweep` removes files of an earlier build that were not written again."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.kept: set[Path] = set()

    def write(self, name: str, content: str | bytes) -> None:
        """Write `content` to the file `name` unless it is unchanged: Sphinx compares modification times."""
        file = self.folder / name
        content = content.encode() if isinstance(content, str) else content
        self.kept.add(file)
        if not file.exists() or file.read_bytes() != content:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

    def tree(self, source: Path, target: str) -> None:
        """Copy all files under `source`."""
        for file in sorted(source.rglob("*")):
            if file.is_file():
                self.write(f"{target}/{file.relative_to(source).as_posix()}", file.read_bytes())

    def keep(self, *files: Path) -> None:
        """Keep files that another function has written here."""
        self.kept.update(files)

    def sweep(self) -> None:
        current = {file.resolve() for file in self.kept}
        for file in sorted(self.folder.rglob("*"), reverse=True):
            if file.is_file() and file.resolve() not in current:
                file.unlink()
            elif file.is_dir() and not any(file.iterdir()):
                file.rmdir()
