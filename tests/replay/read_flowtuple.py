"""FlowTuple files of a folder as JSON, by fastavro: `read_flowtuple.py DIR`."""

import json
import pathlib
import sys

import fastavro


def read(path):
    with open(path, "rb") as octets:
        reader = fastavro.reader(octets)
        schema = json.loads(reader.metadata["avro.schema"])
        records = [list(record.items()) for record in reader]
    names = [field["name"] for field in schema["fields"]]
    for record in records:
        assert [name for name, _ in record] == names, record
    return {
        "file": path.name,
        "codec": reader.codec,
        "namespace": schema["namespace"],
        "name": schema["name"],
        "fields": [[field["name"], field["type"]] for field in schema["fields"]],
        "records": [[value for _, value in record] for record in records],
    }


folder = pathlib.Path(sys.argv[1])
json.dump([read(path) for path in sorted(folder.iterdir())], sys.stdout)
