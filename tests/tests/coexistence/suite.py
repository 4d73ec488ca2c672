"""Runs tests of CPython and writes what became of each, as JSON: suite.py OUTPUT NAME..."""
import json
import sys
import unittest

# The vsock of some virtual machines answers, but to nobody here.
LEFT_OUT = "VSOCK"


class Result(unittest.TextTestResult):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.outcomes = {}

    def addSuccess(self, test):
        super().addSuccess(test)
        self.outcomes.setdefault(test.id(), "ok")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.outcomes.setdefault(test.id(), "skipped")

    def addExpectedFailure(self, test, error):
        super().addExpectedFailure(test, error)
        self.outcomes.setdefault(test.id(), "expected failure")

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.outcomes[test.id()] = "unexpected success"

    def addError(self, test, error):
        super().addError(test, error)
        self.outcomes[test.id()] = "error"

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.outcomes[test.id()] = "failure"

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error is not None:
            self.outcomes[test.id()] = "failure"


def tests_of(suite):
    for it in suite:
        if isinstance(it, unittest.TestSuite):
            yield from tests_of(it)
        elif LEFT_OUT not in it.id():
            yield it


def main(output, names):
    loaded = unittest.defaultTestLoader.loadTestsFromNames(names)
    # Those of a class stay together: a class is set up once.
    suite = unittest.TestSuite(tests_of(loaded))
    result = unittest.TextTestRunner(verbosity=2, resultclass=Result).run(suite)
    with open(output, "w") as file:
        json.dump(result.outcomes, file)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
