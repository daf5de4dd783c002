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

from .lesson import Lesson, check_exercise, show_source, start
from .places import CourseError

__all__ = ["CourseError", "Lesson", "check_exercise", "show_source", "start"]
