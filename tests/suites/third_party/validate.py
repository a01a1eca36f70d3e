"""validate.py sarif SCHEMA FILE | junit FILE: what the field's own tools make of a file, as JSON."""

import json
import sys


def sarif(schema, file):
    import jsonschema

    with open(schema) as text:
        schema = json.load(text)
    with open(file) as text:
        log = json.load(text)
    validator = jsonschema.validators.validator_for(schema)(schema, format_checker=jsonschema.FormatChecker())
    errors = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(log)]
    return {"errors": errors, "results": len(log["runs"][0]["results"])}


def junit(file):
    from junitparser import JUnitXml

    suites = JUnitXml.fromfile(file)
    outcomes = {}
    for suite in suites:
        for case in suite:
            kind = type(case.result[0]).__name__ if case.result else "Passed"
            outcomes[f"{case.classname}: {case.name}"] = kind
    return {"tests": suites.tests, "failures": suites.failures, "errors": suites.errors, "outcomes": outcomes}


print(json.dumps({"sarif": sarif, "junit": junit}[sys.argv[1]](*sys.argv[2:])))
