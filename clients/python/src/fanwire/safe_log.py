"""SafeLog writes to a logger; a handler of the log that raises does not end the library's thread.

Its methods are called without a lock: a handler of the log may publish.
"""
import logging


class SafeLog:
    def __init__(self, name):
        self._logger = logging.getLogger(name)

    def info(self, text, *arguments):
        self._log(logging.INFO, text, arguments)

    def warning(self, text, *arguments):
        self._log(logging.WARNING, text, arguments)

    def error(self, text, *arguments, exc_info=None):
        self._log(logging.ERROR, text, arguments, exc_info)

    def exception(self, text, *arguments):
        self._log(logging.ERROR, text, arguments, True)

    def _log(self, level, text, arguments, exc_info=None):
        try:
            self._logger.log(level, text, *arguments, exc_info=exc_info, stacklevel=3)
        except Exception:
            pass
