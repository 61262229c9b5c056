"""Holds darknet events, one JSON object a line, against their JSON schema.

Usage: check_events.py SCHEMA EVENTS. Prints how many there are; a line that is wrong ends it.
"""

import json
import sys

import jsonschema

with open(sys.argv[1]) as file:
    schema = json.load(file)
checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
if missing := {"ipv4", "ipv6", "date-time"} - set(checker.checkers):
    sys.exit(f"nothing checks {missing}")
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema, format_checker=checker)
count = 0
with open(sys.argv[2]) as events:
    for count, line in enumerate(events, 1):
        for error in validator.iter_errors(json.loads(line)):
            sys.exit(f"line {count}: {error.json_path}: {error.message}")
print(count)
