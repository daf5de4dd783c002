"""The course: what a notebook calls (`start`, `show_source`, `check_exercise`), and what runs and checks the notebooks.

    from seglib import course
    lesson = course.start("02_unet")
    horses = lesson.dataset("horses", "val")
    course.show_source(models.UNet)
    course.check_exercise("02_unet/1", my_function)
    lesson.report("mIoU", 0.95)

The command line is `python -m course run | check`; the same from Python is `runner.run` and
`checks.check`, which are imported only when asked for, since nbclient takes seconds to load.
"""

from .lesson import Lesson, check_exercise, show_source, start
from .places import CourseError

__all__ = ["CourseError", "Lesson", "check_exercise", "show_source", "start"]
