"""The course: the functions that notebooks call (`start`, `show_source`, `check_exercise`), runner and checker.

    import course
    lesson = course.start("02_unet")
    horses = lesson.dataset("horses", "val")
    course.show_source(models.UNet)
    course.check_exercise("02_unet/1", my_function)
    lesson.report("mIoU", 0.95)

The command line is `python -m course run | check`; from Python call `course.runner.run` and
`course.checker.check`, which are not imported here, as nbclient takes seconds to load.
"""

from importlib import import_module as _import_module

from .places import CourseError

__all__ = ["CourseError", "Lesson", "check_exercise", "show_source", "start"]


def __getattr__(name: str):
    """Import the lesson when it is first used: `seglib --help` imports this package for the command `models`."""
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(_import_module(".lesson", __name__), name)
