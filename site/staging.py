"""The folder of sources that Sphinx reads: written where something has changed, and swept of what is no longer made."""

from pathlib import Path


class Stage:
    """Files under `folder`; what was put there before and not again is removed by `sweep`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.kept: set[Path] = set()

    def put(self, name: str, content: str | bytes) -> None:
        """Write `content` to the file `name`, unless it is there already: Sphinx goes by the time of change."""
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
                self.put(f"{target}/{file.relative_to(source).as_posix()}", file.read_bytes())

    def keep(self, *files: Path) -> None:
        """Files that something else has written here."""
        self.kept.update(files)

    def sweep(self) -> None:
        kept = {file.resolve() for file in self.kept}
        for file in sorted(self.folder.rglob("*"), reverse=True):
            if file.is_file() and file.resolve() not in kept:
                file.unlink()
            elif file.is_dir() and not any(file.iterdir()):
                file.rmdir()
