"""The base class of the errors that bad input raises."""


class SeglibError(Exception):
    """Something in a file or an option is wrong; the message says where, what, and what to do.

    The command line shows it as one sentence.  Any other exception is a bug and keeps its traceback.
    """
