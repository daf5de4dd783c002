"""The functions that the notebooks of the course call: `start`, `show_source` and `check_exercise`.

    import course
    lesson = course.start("02_unet")
    horses = lesson.dataset("horses", "val")
    course.show_source(models.UNet)
    course.check_exercise("02_unet/1", my_function)
    lesson.report("mIoU", 0.95)

The command `python -m course run | check` runs or checks the notebooks. From Python, call `course.runner.run` and
`course.checker.check`. This package does not import the two modules because nbclient takes seconds to load.
"""

from importlib import import_module as _import_module

from .places import CourseError

__all__ = ["CourseError", "Lesson", "check_exercise", "show_source", "start"]


def __getattr__(name: str):
    """Import `course.lesson` on first use, because `seglib --help` imports this package for the command `models`."""
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(_import_module(".lesson", __name__), name)
